"""The entities that a linker knows: rows that stay what they are while others come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dim.errors import DataError
from dim.linker.answer import check_text
from dim.records import NIL
from dim.text_form import one_form

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
        popularity: From outside the mentions (sitelinks, page views), or None.
        images: Paths of its images; the first usable one is encoded when it is added.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    text: str | None = None
    type: str | None = None
    popularity: float | None = None
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for value in (self.id, self.name, *self.aliases, self.text or ""):
            check_text("id, name, alias or text of an entity", value)
        for name in ("id", "name", "text"):
            object.__setattr__(self, name, one_form(value) if (value := getattr(self, name)) else value)
        object.__setattr__(self, "aliases", tuple(map(one_form, self.aliases)))
        if not self.id.strip() or not self.name.strip():
            raise DataError("an entity with an id and a name", f"id '{self.id}', name '{self.name}'", "Give both.")
        if self.id == NIL:
            raise DataError("an entity's id", f"'{NIL}', which says that the KB has none", "Choose another id.")


class Knowledge:
    """The KB of a linker. A row is given once: it is not used again when its entity is removed.

    Args:
        entities: Row → entity.
        next_row: The row of the next entity that is added.
    """

    def __init__(self, entities: dict[int, KnownEntity], next_row: int) -> None:
        self.entities, self.next_row = entities, next_row
        self._rows = {entity.id: row for row, entity in entities.items()}

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
            raise DataError(f"the id of one of {len(self):,} entities", f"'{entity_id}'", "Add the entity first.")
        return self._rows[entity_id]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows [n] of all entities, ascending."""
        return np.fromiter(sorted(self.entities), np.int64, len(self.entities))

    def add(self, entities: Sequence[KnownEntity]) -> NDArray[np.int64]:
        """The new rows [n] of entities.

        Raises:
            DataError: An id is there already, or twice among them; nothing is added then.
        """
        ids = [entity.id for entity in entities]
        known = [entity_id for entity_id in ids if entity_id in self._rows]
        twice = [entity_id for entity_id, count in Counter(ids).items() if count > 1]
        if known or twice:
            raise DataError(
                "entities that the KB does not have yet",
                f"{', '.join((known or twice)[:5])} " + ("there already" if known else "more than once"),
                "Remove the old ones first, or give new ids, each once.",
            )
        rows = np.arange(self.next_row, self.next_row + len(entities))
        for row, entity in zip(rows.tolist(), entities, strict=True):
            self.entities[row], self._rows[entity.id] = entity, row
        self.next_row += len(entities)
        return rows

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
    def from_table(cls, table: pa.Table, next_row: int) -> Knowledge:
        """The KB of a table that `table` gave."""
        entities = {}
        for values in table.to_pylist():
            row = values.pop("row")
            values |= {name: tuple(values[name] or ()) for name in ("aliases", "images")}
            entities[row] = KnownEntity(**values)
        return cls(entities, next_row)


def entity_of(entity: Mapping[str, Any]) -> KnownEntity:
    """The entity that a mapping holds.

    Raises:
        DataError: It has a field that entities do not have, or lacks id or name.
    """
    known = list(KnownEntity.__dataclass_fields__)
    unknown, missing = sorted(set(entity) - set(known)), [name for name in ("id", "name") if not entity.get(name)]
    if unknown or missing:
        raise DataError(
            f"an entity of {', '.join(known)}",
            f"the field {unknown[0]}" if unknown else f"no {missing[0]}",
            "Put it right." if missing else "Take it out.",
        )
    for name in ("aliases", "images"):
        if isinstance(entity.get(name), str):
            raise DataError(f"a list as {name}", f"one text, '{entity[name]}'", "Put it into a list.")
    lists = {name: tuple(entity.get(name) or ()) for name in ("aliases", "images")}
    return KnownEntity(**{**entity, **lists})


def knowledge_of(entities: Any, texts: Sequence[str | None], image_root: Path) -> Knowledge:
    """The KB of a dataset, its rows in the dataset's order."""
    known = {}
    for row, values in enumerate(entities.itertuples(index=False)):
        known[row] = KnownEntity(
            id=values.id,
            name=values.name,
            aliases=tuple(values.aliases),
            text=texts[row],
            type=values.type if isinstance(values.type, str) else None,
            popularity=None if values.popularity is None or np.isnan(values.popularity) else float(values.popularity),
            images=tuple(str(image_root.absolute() / image) for image in values.images),
        )
    return Knowledge(known, len(known))
