"""The entities that a linker knows: rows that stay what they are while others come and go."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dim.core.text_form import one_form
from dim.data.dataset import NIL, Entity
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
    plain,
)
from dim.display.log import log
from dim.errors import DataError
from dim.linker.answer import check_half, check_text
from dim.linker.given import as_row, each_of, is_one, shown
from dim.linker.image_roots import ImageRoots

LOG = log("dim")
READ = (*ENTITY_COLUMNS, *SYNONYMS.values())  #: The fields that are read.
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("name", pa.string()),
        ("aliases", pa.list_(pa.string())),
        ("text", pa.string()),
        ("type", pa.string()),
        ("popularity", pa.float64()),
        ("images", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class KnownEntity:
    """An entity of a linker's KB.

    Attributes:
        id: Unique in the KB.
        name: Not blank.
        aliases: Other names.
        text: What is said of it, or None.
        type: Its type, or None.
        popularity: From outside the mentions (sitelinks, page views), or None; NaN, as pandas has it, is None.
        images: Paths of its images; the first usable ones are encoded when it is added.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    text: str | None = None
    type: str | None = None
    popularity: float | None = None
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("aliases", "images"):
            if type(value := getattr(self, name)) is not tuple:
                object.__setattr__(self, name, _texts(name, value))
        for image in self.images:
            if not isinstance(image, str):
                raise DataError("paths of files as images of an entity", shown(image), "Write it to a file.")
            check_half("path of an image", image)
        object.__setattr__(self, "popularity", _finite(self.popularity))
        said = [value for value in (self.text, self.type) if value is not None]
        for value in (self.id, self.name, *self.aliases, *said):
            check_text("id, name, alias, text or type of an entity", value)
        for name in ("id", "name", "text"):
            object.__setattr__(self, name, one_form(value) if (value := getattr(self, name)) else value)
        object.__setattr__(self, "aliases", tuple(map(one_form, self.aliases)))
        if not self.id.strip() or not self.name.strip():
            raise DataError("an entity with an id and a name", f"id '{self.id}', name '{self.name}'", "Give both.")
        if self.id == NIL:
            raise DataError("an entity's id", f"'{NIL}', which says that the KB has none", "Choose another id.")


Given = KnownEntity | Entity | Mapping[str, Any]  #: What a caller may add an entity by.


class Knowledge:
    """The KB of a linker. A row is given once: it is not used again when its entity is removed.

    Args:
        entities: Row → entity.
        next_row: The row of the next entity that is added. Whoever adds it may name any file as its image.
        roots: Where the images of these entities may stand; None: anywhere. Paths that lead elsewhere are set aside:
            nothing opens them.

    Attributes:
        images_elsewhere: Row → the paths that were set aside. They are written again, and that is all.
    """

    def __init__(self, entities: dict[int, KnownEntity], next_row: int, roots: ImageRoots | None = None) -> None:
        self.entities, self.next_row = entities, next_row
        self._rows = {entity.id: row for row, entity in entities.items()}
        self._roots, self._first_added = roots, next_row
        self.images_elsewhere: dict[int, tuple[str, ...]] = {}
        if roots is not None:
            self._set_aside(roots)

    def _set_aside(self, roots: ImageRoots) -> None:
        for row, entity in self.entities.items():
            if entity.images:
                inside, outside = roots.split(entity.images)
                self.entities[row] = replace(entity, images=inside)
                if outside:
                    self.images_elsewhere[row] = outside

    def image_root(self, row: int, image: str) -> Path:
        """The folder that an image of an entity may not leave."""
        if self._roots is None or row >= self._first_added:
            return Path(Path(image).absolute().anchor)
        return self._roots.root_of(image)

    def __len__(self) -> int:
        return len(self.entities)

    def __iter__(self) -> Iterator[KnownEntity]:
        return iter(self.entities.values())

    def __contains__(self, entity_id: str) -> bool:
        return one_form(entity_id) in self._rows

    def row(self, entity_id: str) -> int:
        """The row of an entity.

        Raises:
            DataError: The KB lacks it.
        """
        entity_id = one_form(entity_id)
        if entity_id not in self._rows:
            remedy = "Give the id of an entity that it has, not its name."
            raise DataError(f"the id of one of {len(self):,} entities", f"'{entity_id}'", remedy)
        return self._rows[entity_id]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows [n] of all entities, ascending."""
        return np.fromiter(sorted(self.entities), np.int64, len(self.entities))

    def check_new(self, entities: Sequence[KnownEntity]) -> None:
        """Raises DataError where an id is there already, or twice among them."""
        ids = [entity.id for entity in entities]
        known = [entity_id for entity_id in ids if entity_id in self._rows]
        twice = [entity_id for entity_id, count in Counter(ids).items() if count > 1]
        if known or twice:
            raise DataError(
                "entities that the KB does not have yet",
                f"{', '.join((known or twice)[:5])} " + ("there already" if known else "more than once"),
                "Remove the old ones first, or give new ids, each once.",
            )

    def add(self, entities: Sequence[KnownEntity]) -> NDArray[np.int64]:
        """The new rows [n] of entities.

        Raises:
            DataError: As `check_new`; nothing is added then.
        """
        self.check_new(entities)
        rows = np.arange(self.next_row, self.next_row + len(entities))
        for row, entity in zip(rows.tolist(), entities, strict=True):
            self.entities[row], self._rows[entity.id] = entity, row
        self.next_row += len(entities)
        return rows

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Takes out rows that were just given, as if they had not been."""
        for row in rows.tolist():
            del self._rows[self.entities.pop(row).id]
        self.next_row -= len(rows)

    def remove(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The rows [n] that were freed.

        Raises:
            DataError: The KB lacks one of them; nothing is removed then.
        """
        rows = np.array([self.row(entity_id) for entity_id in dict.fromkeys(ids)], np.int64)
        for row in rows.tolist():
            del self._rows[self.entities.pop(row).id]
        return rows

    def table(self) -> pa.Table:
        """All entities, in the order of their rows."""
        rows = self.rows.tolist()
        columns = {name: [getattr(self.entities[row], name) for row in rows] for name in SCHEMA.names if name != "row"}
        return pa.table({"row": rows, **columns}, schema=SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table, next_row: int, roots: ImageRoots | None = None) -> Knowledge:
        """The KB of a table that `table` gave."""
        entities = {}
        for values in table.to_pylist():
            row = values.pop("row")
            values |= {name: tuple(values[name] or ()) for name in ("aliases", "images")}
            if not math.isfinite(values["popularity"] or 0):  # older versions took infinity
                values["popularity"] = None
            entities[row] = KnownEntity(**values)
        return cls(entities, next_row, roots)


def entity_of(given: object, where: str = "the entity") -> KnownEntity:
    """The entity that a caller gives by a `KnownEntity`, a row (see `dim.data.table_rows`), or a record.

    Columns that entities do not have are not read.

    Args:
        given: What was handed over.
        where: Its place, for messages.

    Raises:
        DataError: It is none of these, a column is misnamed, it lacks id or name, or a value cannot be used.
    """
    if isinstance(given, KnownEntity):
        return _of_bounded_length(given, where)
    if isinstance(given, Entity):
        told = given.aliases, None, given.type, given.popularity, tuple(map(str, given.images))
        return _of_bounded_length(KnownEntity(given.id, given.name, *told), where)
    known = ", ".join(ENTITY_COLUMNS)
    if (row := as_row(given)) is None:
        raise DataError(f"a KnownEntity, or a mapping of {known}, as {where}", shown(given), "Give one of these.")
    row = by_known_names(row, READ)
    if wrong := misnamed(row, ENTITY_COLUMNS):
        raise DataError(f"the fields {known} in {where}", f"the field {wrong[0]}", f"Rename it: {wrong[1]}.")
    for value in row.values():
        check_half(f"texts of {where}", value)
    read = entity_row(_said_once(row, where), where)
    if missing := [name for name in ("id", "name") if not getattr(read, name)]:
        found = ", ".join(map(str, row)) or "none"
        raise DataError(f"an id and a name in {where}", f"no {missing[0]}; the fields: {found}", "Give both.")
    texts = tuple(read.aliases), read.text or None
    return KnownEntity(read.id, read.name, *texts, read.type, read.popularity, tuple(read.images))


def entities_of(given: Any) -> list[KnownEntity]:
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


def _of_bounded_length(entity: KnownEntity, where: str) -> KnownEntity:
    """The entity, held to the lengths that a row of a table is held to."""
    words = {"id": (entity.id,), "name": (entity.name,), "aliases": entity.aliases, "images": entity.images}
    for what, texts in {**words, "type": (entity.type or "",)}.items():
        for text in texts:
            check_length(text, what, where)
    check_length(entity.text or "", "text", where, LONGEST_TEXT)
    return entity


def _finite(popularity: Any) -> float | None:
    if popularity is None or popularity is pd.NA:
        return None
    is_number = isinstance(popularity, Real) and not isinstance(popularity, bool | np.bool_)
    try:
        value = float(popularity) if is_number else math.nan
    except OverflowError:
        value = math.inf
    if (math.isnan(value) and not is_number) or math.isinf(value):
        raise DataError("a number as popularity of an entity", shown(popularity), "Give a float, or None.")
    return None if math.isnan(value) else value


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


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple | Set | np.ndarray):
        raise DataError(f"a list as {name} of an entity", shown(value), "Put it into a list.")
    return tuple(plain(each) for each in value)


def knowledge_of(entities: Any, texts: Sequence[str | None], image_root: Path) -> Knowledge:
    """The KB of a dataset, its rows in the dataset's order; its images stay in `image_root`."""
    known = {}
    for row, values in enumerate(entities.itertuples(index=False)):
        known[row] = KnownEntity(
            id=values.id,
            name=values.name,
            aliases=tuple(values.aliases),
            text=texts[row],
            type=values.type if isinstance(values.type, str) else None,
            popularity=None if values.popularity is None or np.isnan(values.popularity) else float(values.popularity),
            images=tuple(values.images),
        )
    return Knowledge(known, len(known), ImageRoots(image_root))
