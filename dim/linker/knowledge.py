"""The entities that a linker knows: rows that stay what they are while others come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dim.core.text_form import one_form
from dim.data.entity import Entity
from dim.data.given_values import check_half, plain, shown
from dim.data.list_columns import list_column
from dim.data.table_files import list_cell, text_cell
from dim.data.table_rows import (
    ENTITY_COLUMNS,
    LONGEST_TEXT,
    SYNONYMS,
    by_known_names,
    check_length,
    entity_row,
    misnamed,
)
from dim.display.log import log
from dim.errors import DataError
from dim.linker.entity_columns import SCHEMA, EntityColumns
from dim.linker.given import as_row, each_of, is_one
from dim.linker.image_roots import ImageRoots
from dim.linker.known_entity import KnownEntity, check_new

__all__ = ["Given", "Knowledge", "KnownEntity", "entities_of", "entity_of", "knowledge_of"]

LOG = log("dim")
READ = (*ENTITY_COLUMNS, *SYNONYMS.values())  #: The fields that are read.

Given = Entity | Mapping[str, Any]  #: What a caller may add an entity by.


class Knowledge:
    """The KB of a linker. A row is given once: it is not used again when its entity is removed.

    Args:
        entities: Row → entity.
        next_row: The row of the next entity that is added. Whoever adds it may name any file as its image.
        roots: Where the images of these entities may stand; None: anywhere. Paths that lead elsewhere are set aside:
            nothing opens them.
    """

    def __init__(self, entities: Mapping[int, Entity], next_row: int, roots: ImageRoots | None = None) -> None:
        self.entities = entities if isinstance(entities, EntityColumns) else EntityColumns.of(entities)
        self.next_row = next_row
        self._roots, self._first_added = roots, next_row
        if roots is not None:
            self.entities.confine_images(roots)

    @property
    def images_elsewhere(self) -> dict[int, tuple[str, ...]]:
        """Row → the paths that were set aside. They are written again, and that is all."""
        return dict(self.entities.images_elsewhere())

    def tell_of_images_elsewhere(self) -> None:
        """Warns of them, where images are going to be shown, named in answers or copied: these are not."""
        if self._roots is not None and (count := sum(1 for _ in self.entities.images_elsewhere())):
            LOG.warning(
                "%s entities name images outside of %s, which are neither shown nor copied; "
                "say where they stand: --image_root FOLDER, or image_root= in Python",
                f"{count:,}",
                self._roots.base,
            )

    def image_root(self, row: int, image: str) -> Path:
        """The folder that an image of an entity may not leave."""
        if self._roots is None or row >= self._first_added:
            return Path(Path(image).absolute().anchor)
        return self._roots.root_of(image)

    def __len__(self) -> int:
        return len(self.entities)

    def __iter__(self) -> Iterator[Entity]:
        return self.entities.each()

    def __contains__(self, entity_id: str) -> bool:
        return self.entities.find(one_form(entity_id)) is not None

    def row(self, entity_id: str) -> int:
        """The row of an entity.

        Raises:
            DataError: The KB lacks it.
        """
        entity_id = one_form(entity_id)
        if (row := self.entities.find(entity_id)) is None:
            remedy = "Give the id of an entity that it has, not its name."
            raise DataError(f"the id of one of {len(self):,} entities", f"'{entity_id}'", remedy)
        return row

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows [n] of all entities, ascending."""
        return self.entities.rows

    def check_new(self, entities: Sequence[Entity]) -> None:
        """Raises DataError where one is none that a linker knows, or an id is there already, or twice among them."""
        for entity in entities:
            check_new(entity)
        ids = [entity.id for entity in entities]
        known = self.entities.known(ids)
        twice = [entity_id for entity_id, count in Counter(ids).items() if count > 1]
        if known or twice:
            raise DataError(
                "entities that the KB does not have yet",
                f"{', '.join((known or twice)[:5])} " + ("there already" if known else "more than once"),
                "Remove the old ones first, or give new ids, each once.",
            )

    def add(self, entities: Sequence[Entity]) -> NDArray[np.int64]:
        """The new rows [n] of entities.

        Raises:
            DataError: As `check_new`; nothing is added then.
        """
        self.check_new(entities)
        rows = np.arange(self.next_row, self.next_row + len(entities))
        for row, entity in zip(rows.tolist(), entities, strict=True):
            self.entities[row] = entity
        self.next_row += len(entities)
        return rows

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Takes out rows that were just given, as if they had not been."""
        for row in rows.tolist():
            del self.entities[row]
        self.next_row -= len(rows)

    def remove(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The rows [n] that were freed.

        Raises:
            DataError: The KB lacks one of them; nothing is removed then.
        """
        rows = np.array([self.row(entity_id) for entity_id in dict.fromkeys(ids)], np.int64)
        for row in rows.tolist():
            del self.entities[row]
        return rows

    def table(self) -> pa.Table:
        """All entities, in the order of their rows."""
        return self.entities.table()

    @classmethod
    def from_table(cls, table: pa.Table, next_row: int, roots: ImageRoots | None = None) -> Knowledge:
        """The KB of a table that `table` gave."""
        return cls(EntityColumns(table), next_row, roots)


def entity_of(given: object, where: str = "the entity") -> Entity:
    """The entity that a caller gives by one, or by a row (see `dim.data.table_rows`).

    Columns that entities do not have are not read, and attributes are not kept.

    Args:
        given: What was handed over.
        where: Its place, for messages.

    Raises:
        DataError: It is none of these, a column is misnamed, it lacks id or name, or a value cannot be used.
    """
    if isinstance(given, Entity):
        return _of_bounded_length(replace(given, attributes={}) if given.attributes else given, where)
    known = ", ".join(ENTITY_COLUMNS)
    if (row := as_row(given)) is None:
        raise DataError(f"an Entity, or a mapping of {known}, as {where}", shown(given), "Give one of these.")
    row = by_known_names(row, READ)
    if wrong := misnamed(row, ENTITY_COLUMNS):
        raise DataError(f"the fields {known} in {where}", f"the field {wrong[0]}", f"Rename it: {wrong[1]}.")
    for value in row.values():
        check_half(f"texts of {where}", value)
    read = entity_row(_said_once(row, where), where)
    if missing := [name for name in ("id", "name") if not getattr(read, name)]:
        found = ", ".join(map(str, row)) or "none"
        raise DataError(f"an id and a name in {where}", f"no {missing[0]}; the fields: {found}", "Give both.")
    return read


def entities_of(given: Any) -> list[Entity]:
    """The entities in a list, a generator, or the rows of a table, or the only one; see `entity_of`.

    Raises:
        DataError: It is none of these; or as `entity_of`.
    """
    if is_one(given):
        named = {"the entity": given}
    else:
        entities = each_of(given, "entities in a list, or the rows of a table", "Give each its id and its name.")
        named = {f"entity {place}": each for place, each in enumerate(entities)}
    found = []
    for where, each in _cut_lists(named).items():
        try:
            found.append(entity_of(each, where))
        except DataError as error:
            if where in error.expected:
                raise
            raise DataError(f"{error.expected}, in {where}", error.found, error.remedy) from error
    return found


def _of_bounded_length(entity: Entity, where: str) -> Entity:
    """The entity, held to the lengths that a row of a table is held to."""
    words = {"id": (entity.id,), "name": (entity.name,), "aliases": entity.aliases, "images": entity.images}
    for what, texts in {**words, "type": (entity.type or "",)}.items():
        for text in texts:
            check_length(text, what, where)
    check_length(entity.text or "", "text", where, LONGEST_TEXT)
    return entity


def _said_once(row: dict[str, Any], where: str) -> dict[str, Any]:
    """The row, with one of two columns that say the same.

    Raises:
        DataError: They say different things.
    """
    for name, other in SYNONYMS.items():
        if name in row and other in row:
            said = [plain(row[each]) for each in (name, other)]
            first, second = (list_cell(each) if name == "image" else text_cell(each) for each in said)
            if first and second and first != second:
                raise DataError(
                    f"{name} or {other} in {where}",
                    f"both, which differ: {shown(said[0])}, {shown(said[1])}",
                    "Take one of them out.",
                )
            row = {each: value for each, value in row.items() if each != (other if first else name)}
    return row


def _cut_lists(named: Mapping[str, Any]) -> dict[str, Any]:
    """The things by their names, in whose rows a text of several values is cut as `dim prepare` cuts a column."""
    things = {
        where: thing if (row := as_row(thing)) is None else by_known_names(row, READ) for where, thing in named.items()
    }
    for column, doubtful in (("aliases", ",/"), ("image", ","), ("images", ",")):
        rows = []
        for where, row in things.items():
            if isinstance(row, dict) and isinstance(row.get(column), str):
                check_half(f"texts of {where}", row[column])
                rows.append(row)
        advice = "a list in the place of the text"
        cut, notes = list_column([row[column] for row in rows], f"{column} of entities", None, doubtful, advice)
        for row, values in zip(rows, cut, strict=True):
            row[column] = values
        for note in notes:
            LOG.warning("%s", note)
    return things


def knowledge_of(entities: Any, texts: Sequence[str | None], image_root: Path) -> Knowledge:
    """The KB of a dataset, its rows in the dataset's order; its images stay in `image_root`."""
    columns = {
        "id": entities["id"].tolist(),
        "name": entities["name"].tolist(),
        "aliases": list(map(list, entities["aliases"])),
        "text": list(texts),
        "type": [kind if isinstance(kind, str) else None for kind in entities["type"]],
        "popularity": [None if value is None or np.isnan(value) else float(value) for value in entities["popularity"]],
        "images": list(map(list, entities["images"])),
    }
    try:
        table = pa.table({"row": np.arange(len(entities)), **columns}, schema=SCHEMA)
    except (ValueError, TypeError):
        for values in zip(*columns.values(), strict=True):
            Entity(*values)  # says which is no text
        raise
    return Knowledge(EntityColumns(table), len(entities), ImageRoots(image_root))
