"""A user's own tables: `entities` and `mentions`, in any format of `dim.data.table_files`, see `table_sources`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dim.core.text_form import one_form
from dim.data.dataset import SPLITS
from dim.data.list_columns import list_column, list_ids
from dim.data.parquet_rows import holds_images, write_packed_images
from dim.data.skipped import NUM_EXAMPLES
from dim.data.table_files import LONGEST_QUOTE, SUFFIXES, Row, columns_of, iter_table, no_rows, text_cell
from dim.data.table_rows import ENTITY_COLUMNS, MENTION_COLUMNS, entity_row, mention_row, read_columns
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.broken_rows import REASON, BrokenRows
from dim.releases.entity_texts import texts_table
from dim.releases.image_cells import ImageCells, cut_urls, is_url
from dim.releases.mention_rows import MentionRows, json_cell
from dim.releases.named_columns import check_columns, rename_columns
from dim.releases.table_sources import FOLDERS, SPLIT_NAMES, Source, Sources, find_mentions, find_tables, has_tables

IMAGES = ("image", "images")
LISTS = ("aliases", *IMAGES)
IMAGE_COLUMNS = (*IMAGES, "img", "photo", "picture")  #: In which the bytes of Parquet are an image.


class Tables(Converter):
    """Reads the two tables; columns that it does not know are kept as attributes.

    Args:
        encoding: Of the files; None: as their first bytes tell, else UTF-8.
        list_separator: What separates aliases, images and candidates in a cell; None: told by the columns.
        allow_missing: Whether rows that cannot be read are left out, however many.
        entities: The table of the KB, where it stands elsewhere: then mentions alone are looked for.
    """

    layout = "tables"
    needs = f"entities and mentions (or train, validation, test), each as {', '.join(SUFFIXES)}"
    folders = FOLDERS
    kind = "tables of your own"
    options = ("encoding", "list_separator")

    def __init__(
        self,
        encoding: str | None = None,
        list_separator: str | None = None,
        allow_missing: bool = False,
        entities: Path | None = None,
    ) -> None:
        self.encoding, self.list_separator, self.allow_missing = encoding, list_separator, allow_missing
        self.entities = entities

    def recognizes(self, root: Path) -> bool:
        """Tells by the names of the files."""
        return has_tables(root)

    def read(self, root: Path) -> Release:
        """Reads the tables; where neither a column `split` nor the files' names say it, it has no splits.

        Raises:
            DataError: As the contract says, and where a column is missing or more than 1% of the rows of a table cannot
                be read: a cell is no number or split, an id is empty, cells are missing.
        """
        sources, notes = self._sources(root), list[str]()
        root = root.parent if root.is_file() else root
        images = ImageCells(root)
        entity_files, entities, has_texts = self._read_entities(sources.entities, images, notes)
        ids = set(entities["id"])
        mention_files = [
            self._read(source, MENTION_COLUMNS, ("mention", "context"), notes, ids) for source in sources.mentions
        ]
        has_splits = all(table.source.split or "split" in table.columns for table in mention_files)
        broken = BrokenRows(self.allow_missing)
        rows = _mentions(mention_files, entities["id"], broken, images, has_splits)
        broken.check("mentions", notes)
        notes += _absent_splits(sources.mentions)
        if not any("entity_id" in table.columns for table in mention_files):
            notes.append("no column 'entity_id': every mention counts as NIL, so this dataset serves prediction only")
        if rows.num_wrong_offsets:
            notes.append(f"start and end did not hold the mention in {rows.num_wrong_offsets:,} rows: searched for it")
        notes += rows.candidate_notes()
        release = _release(root, [*entity_files, *mention_files], entities, has_texts, rows, images, notes)
        if self.entities is not None and "images" in release.mentions:  # those of the entities stand elsewhere
            release.mentions["images"] = [
                [path if is_url(path) else str(root.absolute() / path) for path in paths]
                for paths in release.mentions["images"]
            ]
        return release

    def _sources(self, root: Path) -> Sources:
        if self.entities is None:
            return find_tables(root)
        return Sources([Source(self.entities)], find_mentions(root))

    def read_kb(self, root: Path, sources: Sequence[Source]) -> Release:
        """Reads tables of entities alone; each needs its name, as nothing else speaks for it.

        Args:
            root: What paths of images are relative to.
            sources: The tables.

        Raises:
            DataError: As `read`.
        """
        images, notes = ImageCells(root), list[str]()
        files, entities, has_texts = self._read_entities(sources, images, notes, needs_name=True)
        return _release(root, files, entities, has_texts, MentionRows(()), images, notes)

    def _read_entities(
        self, sources: Sequence[Source], images: ImageCells, notes: list[str], needs_name: bool = False
    ) -> tuple[list[OwnTable], pd.DataFrame, bool]:
        """The files, their entities with `text`, and whether a column has texts."""
        files = [self._read(source, ENTITY_COLUMNS, ("id", "name"), notes) for source in sources]
        broken = BrokenRows(self.allow_missing)
        entities, has_texts = _entities(files, broken, images, needs_name)
        broken.check("entities", notes)
        return files, entities, has_texts

    def _read(
        self,
        source: Source,
        known: Sequence[str],
        required: Sequence[str],
        notes: list[str],
        ids: Collection[str] | None = None,
    ) -> OwnTable:
        """A file's rows by the columns that are known, with its lists cut; `ids` are those of the KB, for mentions."""
        path, said = source.path, list[str]()
        rows: list[tuple[str, Row | DataError]] = []
        num_blank = 0
        for place, row in iter_table(path, self.encoding, known, said, IMAGE_COLUMNS):
            if isinstance(row, dict) and all(map(_is_blank, row.values())):
                num_blank += 1
            else:
                rows.append((place, row))
        good = [row for _, row in rows if isinstance(row, dict)]
        if not good:
            raise next((row for _, row in rows if isinstance(row, DataError)), no_rows(path))
        said += rename_columns(path, good, known, ids)
        columns = columns_of(good)
        said += check_columns(path, columns, known, required)
        if num_blank:
            said.append(f"blank rows of {path.name} were left out: {num_blank:,}")
        for column in [name for name in LISTS if name in columns and name in read_columns(columns, known)]:
            said += _cut_lists(path, good, column, self.list_separator)
        if ids is not None:
            said += _cut_candidates(path, good, ids, self.list_separator)
        if source.is_first:
            notes += said
        return OwnTable(source, columns, rows)


@dataclass(frozen=True)
class OwnTable:
    """A file that was read.

    Attributes:
        source: Which.
        columns: Their names, known ones as they are known.
        rows: The place of each row that is not blank, as an editor or a spreadsheet counts, and its cells, or why it
            cannot be read.
    """

    source: Source
    columns: list[str]
    rows: list[tuple[str, Row | DataError]]


def _is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip()) or cell != cell  # NaN


def _write_images(tables: Sequence[Path], folder: Path) -> int:
    return sum(write_packed_images(path, folder, IMAGE_COLUMNS) for path in tables)


def _absent_splits(sources: Sequence[Source]) -> list[str]:
    found = {source.split for source in sources}
    absent = [] if None in found else [split for split in ("train", "dev", "test") if split not in found]
    return [f"no file of {split}: the split is empty" for split in absent]


def _cut_lists(path: Path, rows: list[Row], column: str, separator: str | None) -> list[str]:
    """Cuts the cells of a column into lists, in place; returns notes on what separated them."""
    doubtful = ",/" if column == "aliases" else ","  # a path has slashes
    given = [row for row in rows if isinstance(row.get(column), str)]  # others are lists, or are refused
    if column in IMAGES:
        for row in given:
            if is_url(row[column].strip()):
                row[column] = cut_urls(row[column].strip())
        given = [row for row in given if isinstance(row[column], str)]
    lists, notes = list_column([row[column] for row in given], f"{column} of {path.name}", separator, doubtful)
    for row, values in zip(given, lists, strict=True):
        row[column] = values
    return notes


def _cut_candidates(path: Path, rows: list[Row], known: Collection[str], separator: str | None) -> list[str]:
    given = [row for row in rows if isinstance(row.get("candidates"), str) and row["candidates"].strip()]
    lists, notes = list_ids([row["candidates"] for row in given], known, f"candidates of {path.name}", separator)
    for row, values in zip(given, lists, strict=True):
        row["candidates"] = values
    return notes


def _attributes(row: Row, known: Sequence[str]) -> Row:
    """The cells that nothing reads; bytes are no text."""
    known = read_columns(row, known)
    return {
        column: value
        for column, value in row.items()
        if column not in known and not isinstance(value, bytes) and text_cell(value)
    }


def _release(
    root: Path,
    tables: Sequence[OwnTable],
    entities: pd.DataFrame,
    has_texts: bool,
    rows: MentionRows,
    images: ImageCells,
    notes: Sequence[str],
) -> Release:
    """What was read of tables; the texts stand in the entities' column `text`."""
    texts = zip(entities["id"], entities.pop("text"), strict=True)
    packed = [table.source.path for table in tables if holds_images(table.source.path, IMAGE_COLUMNS)]
    return Release(
        name=root.resolve().name,
        source="the user's own tables",
        licence="unknown",
        entities=entities,
        texts={"brief": texts_table(texts)} if has_texts else {},
        mentions=rows.table(),
        image_root=root if any(column in table.columns for table in tables for column in IMAGES) else None,
        rows_read=rows.num_read,
        skipped=rows.skipped,
        notes=[*notes, *images.notes()],
        image_urls=images.urls,
        write_images=partial(_write_images, packed) if packed else None,
    )


def _entities(
    tables: Sequence[OwnTable], broken: BrokenRows, images: ImageCells, needs_name: bool = False
) -> tuple[pd.DataFrame, bool]:
    """The entities (columns of `ENTITY_SCHEMA`) with their `text`, and whether a column has texts."""
    found, places = [], dict[str, list[str]]()
    for table in tables:
        for place, row in table.rows:
            broken.num_rows += 1
            where = f"{table.source.path} {place}"
            try:
                if isinstance(row, DataError):
                    raise row
                entity = entity_row(row, where)
                if not entity.id:
                    raise DataError(f"an id in {where}", "an empty cell", "Give each entity an id of its own.")
                if needs_name and not entity.name:
                    raise DataError(f"a name in {where}", "an empty cell", "Name the entity: it is found by its names.")
            except DataError as error:
                broken.add(f"{table.source.path.name} {place}", error)
                continue
            paths = [images.path(image) for image in entity.images]
            lists = {"aliases": list(entity.aliases), "images": paths}
            found.append(asdict(entity) | lists | {"attributes": json_cell(_attributes(row, ENTITY_COLUMNS))})
            places.setdefault(one_form(entity.id), []).append(f"{table.source.path.name} {place}")
    _check_ids(places)
    has_texts = any({"description", "text"} & set(table.columns) for table in tables)
    columns = ["id", "name", "text", "aliases", "images", "type", "popularity", "attributes"]
    return pd.DataFrame(found, columns=columns, dtype=object).astype({"popularity": float}), has_texts


def _check_ids(places: Mapping[str, Sequence[str]]) -> None:
    """Raises DataError where an entity id has several places."""
    twice = [f"{entity_id} ({', '.join(of[:NUM_EXAMPLES])})" for entity_id, of in places.items() if len(of) > 1]
    if twice:
        found = f"{len(twice):,} twice: {', '.join(twice[:NUM_EXAMPLES])}"
        raise DataError("every entity id once in the entity tables", found, "Remove the repeated rows.")


def _mentions(
    tables: Sequence[OwnTable], entity_ids: pd.Series, broken: BrokenRows, images: ImageCells, has_splits: bool
) -> MentionRows:
    collected = MentionRows(entity_ids)
    for table in tables:
        for place, row in table.rows:
            broken.num_rows += 1
            where, split = f"{table.source.path.name} {place}", table.source.split
            try:
                if isinstance(row, DataError):
                    raise row
                if has_splits and "split" in table.columns:
                    split = _split(row, where)
                mention = mention_row(row, where)
            except DataError as error:
                broken.add(where, error)
                collected.skip(split, REASON, where)
                continue
            collected.add(
                split,
                where=where,
                mention=mention.mention,
                context=mention.context,
                answer=mention.entity_id,
                images=[images.path(image) for image in mention.images],
                span=mention.span,
                candidates=None if mention.candidates is None else collected.known(mention.candidates),
                type=mention.type,
                attributes=_attributes(row, MENTION_COLUMNS),
            )
    return collected


def _split(row: Row, where: str) -> str:
    text = text_cell(row.get("split")).casefold()
    split = SPLIT_NAMES.get(text, text)
    if split not in SPLITS:
        expected = f"train, tune, dev or test as the split in {where}"
        raise DataError(expected, f"'{text[:LONGEST_QUOTE]}'", "Put the cell right, or drop the column.")
    return split
