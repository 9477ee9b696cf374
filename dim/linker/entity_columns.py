"""The entities of a KB as columns: an object is made of the one that is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.data.dataset import NIL
from dim.data.entity import Entity
from dim.errors import DataError
from dim.linker.image_roots import ImageRoots
from dim.linker.known_entity import check_known

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
LISTS = ("aliases", "images")
ANSWERED = ("id", "name", "text", "images")
BATCH = 2**14  #: Entities that are Python objects at once.
#: Characters of which none has another form (NFC), alone or beside others.
RANGES = (
    *((0x0000, 0x02FF), (0x0388, 0x0482), (0x048A, 0x0590), (0x05D0, 0x05EA), (0x0620, 0x064A), (0x0671, 0x06D5)),
    *((0x0E01, 0x0E37), (0x1E00, 0x1EFF), (0x2010, 0x2027), (0x2030, 0x205E), (0x3000, 0x3029), (0x3041, 0x3096)),
    *((0x309B, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF01, 0xFF60)),
)
ANY_FORM = "[^" + "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in RANGES) + "]"

Mask = NDArray[np.bool_]


class EntityColumns(MutableMapping[int, Entity]):
    """Row → entity, in the order of the rows.

    What a table says stays there; what is added or replaced later stands beside it.

    Args:
        table: Of `SCHEMA`, each row once, none of them null; its lists may be.

    Raises:
        DataError: An entity is none that a linker knows (`check_known`), or two have one id.
    """

    def __init__(self, table: pa.Table) -> None:
        rows: Rows = table["row"].to_numpy()
        if np.any(rows[1:] < rows[:-1]):
            table, rows = table.sort_by("row"), np.sort(rows)
        for name in LISTS:
            if table[name].null_count:
                table = _with(table, name, pc.fill_null(table[name], pa.scalar([], SCHEMA.field(name).type)))
        self._table, self._rows = table, rows
        self._columns = {name: table[name] for name in SCHEMA.names}  # a table makes a column each time it is asked
        self._is_there, self._num_there = np.ones(len(rows), np.bool_), len(rows)
        self._others: dict[int, Entity] = {}
        self._rows_of_others: dict[str, int] = {}
        self._roots: ImageRoots | None = None
        self._elsewhere: dict[int, tuple[str, ...]] = {}  # of the others
        if pc.count_distinct(table["id"]).as_py() < len(rows):
            raise _of_one_id(next(each for each, count in Counter(table["id"].to_pylist()).items() if count > 1))
        self._look_at_doubtful()

    @classmethod
    def of(cls, entities: Mapping[int, Entity]) -> EntityColumns:
        """Those of a mapping."""
        columns = cls(SCHEMA.empty_table())
        columns.update(entities)
        return columns

    @cached_property
    def _hashes(self) -> tuple[Rows, Rows]:
        """The hashes of all ids, ascending, and the place in the table of each.

        A dict of all ids would take several times the memory of the texts themselves.
        """
        parts = [np.fromiter(map(hash, part), np.int64, len(part)) for part in _lists(self._columns["id"])]
        hashes = np.concatenate([np.empty(0, np.int64), *parts])
        places = np.argsort(hashes, kind="stable")
        return hashes[places], places

    def _look_at_doubtful(self) -> None:
        """Has `Entity` and `check_known` look at what may not be as it wants it: the others are left as columns."""
        for batch in self._table.to_batches(BATCH):
            for values in batch.filter(pa.array(doubtful(batch))).to_pylist():
                row = values.pop("row")
                check_known(entity := Entity(**values))
                if any(getattr(entity, name) != _plain(values[name]) for name in values):
                    if self.find(entity.id) not in (None, row):
                        raise _of_one_id(entity.id)
                    self[row] = entity

    def __len__(self) -> int:
        return self._num_there + len(self._others)

    @property
    def rows(self) -> Rows:
        """All rows [n], ascending."""
        base = self._rows if self._num_there == len(self._rows) else self._rows[self._is_there]
        others = np.fromiter(self._others, np.int64, len(self._others))
        return np.sort(np.concatenate([base, others]))

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows.tolist())

    def __contains__(self, row: object) -> bool:
        return isinstance(row, int | np.integer) and (row in self._others or self._place(int(row)) is not None)

    def __getitem__(self, row: int) -> Entity:
        if (entity := self._others.get(row)) is not None:
            return entity
        if (place := self._place(row)) is None:
            raise KeyError(row)
        return self._told({name: column[place].as_py() for name, column in self._columns.items() if name != "row"})

    def answered(self, row: int) -> dict[str, Any]:
        """What an answer says of an entity: id, name, text and images. Raises KeyError where there is none."""
        if row in self._others or (place := self._place(row)) is None:
            entity = self[row]
            return {name: getattr(entity, name) for name in ANSWERED}
        values = {name: self._columns[name][place].as_py() for name in ANSWERED}
        return values | {"images": self._inside(values["images"])}

    def __setitem__(self, row: int, entity: Entity) -> None:
        if row in self:
            del self[row]
        self._others[row], self._rows_of_others[entity.id] = entity, row

    def __delitem__(self, row: int) -> None:
        if (entity := self._others.pop(row, None)) is not None:
            del self._rows_of_others[entity.id]
            self._elsewhere.pop(row, None)
        elif (place := self._place(row)) is not None:
            self._is_there[place] = False
            self._num_there -= 1
        else:
            raise KeyError(row)

    def _place(self, row: int) -> int | None:
        """Where the table has a row, if it still counts."""
        place = int(np.searchsorted(self._rows, row))
        is_there = place < len(self._rows) and self._rows[place] == row and self._is_there[place]
        return place if is_there else None

    def find(self, entity_id: str) -> int | None:
        """The row of an id; None where no entity has it."""
        if (row := self._rows_of_others.get(entity_id)) is not None:
            return row
        (hashes, places), wanted = self._hashes, np.int64(hash(entity_id))
        first = int(np.searchsorted(hashes, wanted))
        while first < len(hashes) and hashes[first] == wanted:
            place = int(places[first])
            if self._is_there[place] and self._columns["id"][place].as_py() == entity_id:
                return int(self._rows[place])
            first += 1
        return None

    def known(self, ids: Sequence[str]) -> list[str]:
        """Those of some ids that entities have: looked for in one walk over the table, without `find`'s hashes."""
        is_asked = pc.is_in(self._columns["id"], pa.array(ids, pa.string())).to_numpy()
        there = set(self._columns["id"].filter(pa.array(is_asked & self._is_there)).to_pylist())
        return [each for each in ids if each in there or each in self._rows_of_others]

    def table(self) -> pa.Table:
        """All of them, of `SCHEMA`, in the order of the rows; with all images that it came with."""
        is_whole = self._num_there == len(self._rows)
        table = self._table if is_whole else self._table.filter(pa.array(self._is_there))
        if not self._others:
            return table
        rows = sorted(self._others)
        columns = {name: [getattr(self._others[row], name) for row in rows] for name in SCHEMA.names if name != "row"}
        table = pa.concat_tables([table, pa.table({"row": rows, **columns}, schema=SCHEMA)])
        return table if not len(self._rows) or rows[0] > self._rows[-1] else table.sort_by("row")

    def each(self) -> Iterator[Entity]:
        """The entities in the order of the rows, made in batches: several times as fast as one by one."""
        for batch in self.table().to_batches(BATCH):
            for values in batch.to_pylist():
                entity = self._others.get(values.pop("row"))
                yield self._told(values) if entity is None else entity

    def confine_images(self, roots: ImageRoots) -> None:
        """Leaves each entity that there is the images inside of `roots`, by their paths there."""
        for row, entity in self._others.items():
            inside, outside = roots.split(entity.images)
            self._others[row] = replace(entity, images=inside)
            if outside:
                self._elsewhere[row] = outside
        self._roots = roots

    def images_elsewhere(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Of each entity whose images were not all left, its row and the other paths."""
        if self._roots is None:
            return
        yield from self._elsewhere.items()
        with_images = pc.greater(pc.list_value_length(self._columns["images"]), 0).to_numpy()
        for place in np.flatnonzero(with_images & self._is_there).tolist():
            if outside := self._roots.split(self._columns["images"][place].as_py())[1]:
                yield int(self._rows[place]), outside

    def _told(self, values: dict[str, Any]) -> Entity:
        """The entity of a row of the table: what it says was looked at when it came."""
        lists = {"aliases": tuple(values["aliases"]), "images": self._inside(values["images"])}
        return Entity.of_checked(**values | lists)

    def _inside(self, images: list[str]) -> tuple[str, ...]:
        return tuple(images) if self._roots is None or not images else self._roots.split(images)[0]


def doubtful(batch: pa.RecordBatch) -> Mask:
    """Whether each entity [n] may be none, or in another form than `Entity` gives it."""
    ids, names = batch["id"], batch["name"]
    found = _is(pc.equal(ids, NIL), True) | ~_is(pc.is_finite(batch["popularity"]), True)
    for texts in (ids, names):
        found |= _is(pc.equal(pc.utf8_trim_whitespace(texts), ""), True)
    for texts, missing in ((ids, True), (names, True), (batch["text"], False)):
        found |= _of_other_form(texts, missing)
    for column in (batch[name] for name in LISTS):
        texts, owners = pc.list_flatten(column), pc.list_parent_indices(column).to_numpy()
        found[owners[_of_other_form(texts, True)]] = True
    return found


def _of_other_form(texts: pa.Array, missing: bool) -> Mask:
    """Whether each text may have another form; `missing`, where it is null."""
    found = ~_is(pc.string_is_ascii(texts), False)  # most are, and the expression takes long
    found[found] = _is(pc.match_substring_regex(texts.filter(pa.array(found)), ANY_FORM), missing)
    return found


def _is(answers: pa.Array, missing: bool) -> Mask:
    told: Mask = pc.fill_null(answers, missing).to_numpy(zero_copy_only=False)
    return told


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _lists(column: pa.ChunkedArray) -> Iterator[list[Any]]:
    for chunk in column.chunks:
        for start in range(0, len(chunk), BATCH):
            yield chunk.slice(start, BATCH).to_pylist()


def _with(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return table.set_column(SCHEMA.names.index(name), SCHEMA.field(name), column)


def _of_one_id(entity_id: str) -> DataError:
    return DataError("entities, each of its own id", f"several of the id '{entity_id}'", "Give each its own.")
