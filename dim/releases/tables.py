"""A user's own tables: `entities` and `mentions`, each as CSV, JSON lines or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from dim.data.dataset import SPLITS
from dim.data.files import list_names
from dim.data.list_columns import list_column, list_ids
from dim.data.table_files import SUFFIXES, Row, read_table, text_cell
from dim.data.table_rows import ENTITY_COLUMNS, MENTION_COLUMNS, entity_row, mention_row, read_columns
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.entity_texts import texts_table
from dim.releases.mention_rows import MentionRows, json_cell

LISTS = ("aliases", "image", "images")
SPLIT_ALIASES = {"validation": "dev", "valid": "dev", "val": "dev"}


class Tables(Converter):
    """Reads the two tables; columns that it does not know are kept as attributes.

    Args:
        encoding: Of the files; None: as their first bytes tell, else UTF-8.
        list_separator: What separates aliases, images and candidates in a cell; None: told by the columns.
    """

    layout = "tables"
    needs = f"entities and mentions, each as {', '.join(SUFFIXES)}"

    def __init__(self, encoding: str | None = None, list_separator: str | None = None) -> None:
        self.encoding, self.list_separator = encoding, list_separator

    def recognizes(self, root: Path) -> bool:
        """Tells by the two file names."""
        names = {name.lower() for name in list_names(root)}
        return all(
            not names.isdisjoint(f"{table}{suffix}" for suffix in SUFFIXES) for table in ("entities", "mentions")
        )

    def read(self, root: Path) -> Release:
        """Reads the tables; without a column `split` it has no splits.

        Raises:
            DataError: As the contract says, and where a column is missing or a cell is no number or split.
        """
        entities_path, mentions_path = _find_table(root, "entities"), _find_table(root, "mentions")
        entity_columns, entity_rows, notes = read_table(entities_path, self.encoding, ENTITY_COLUMNS)
        mention_columns, mention_rows, mention_notes = read_table(mentions_path, self.encoding, MENTION_COLUMNS)
        notes += mention_notes
        notes += _check_columns(entities_path, entity_columns, ENTITY_COLUMNS, required=("id", "name"))
        notes += _check_columns(mentions_path, mention_columns, MENTION_COLUMNS, required=("mention", "context"))
        for path, rows_of, columns, known in (
            (entities_path, entity_rows, entity_columns, ENTITY_COLUMNS),
            (mentions_path, mention_rows, mention_columns, MENTION_COLUMNS),
        ):
            for column in [name for name in LISTS if name in columns and name in read_columns(columns, known)]:
                notes += _cut_lists(path, rows_of, column, self.list_separator)
        entities = _entities(entity_rows, entities_path)
        notes += _cut_candidates(mentions_path, mention_rows, set(entities["id"]), self.list_separator)
        rows = _mentions(mention_rows, mentions_path, entities["id"], split_column="split" in mention_columns)
        mentions = rows.table()
        if "entity_id" not in mention_columns:
            notes.append("no column 'entity_id': every mention counts as NIL, so this dataset serves prediction only")
        if rows.num_wrong_offsets:
            notes.append(f"start and end did not hold the mention in {rows.num_wrong_offsets:,} rows: searched for it")
        if rows.num_unknown_candidates:
            notes.append(f"candidates that the KB lacks were left out: {rows.num_unknown_candidates:,}")
        texts = zip(entities["id"], entities.pop("text"), strict=True)
        return Release(
            name=root.resolve().name,
            source="the user's own tables",
            licence="unknown",
            entities=entities,
            texts={"brief": texts_table(texts)} if {"description", "text"} & set(entity_columns) else {},
            mentions=mentions,
            image_root=root if {"image", "images"} & {*entity_columns, *mention_columns} else None,
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=notes,
        )


def _find_table(root: Path, table: str) -> Path:
    files = [f"{table}{suffix}" for suffix in SUFFIXES]
    present = sorted(name for name in list_names(root) if name.lower() in files)
    if len(present) != 1:
        raise DataError(
            f"one of {', '.join(files)} in {root}",
            " and ".join(present) or "none of them",
            "Remove or rename the one that is not meant." if present else "Add the table.",
        )
    return root / present[0]


def _check_columns(path: Path, columns: Sequence[str], known: Sequence[str], required: Sequence[str]) -> list[str]:
    """Notes on the columns that become attributes."""
    for name in required:
        if name not in columns:
            near = get_close_matches(name, [column for column in columns if column not in known], n=1, cutoff=0.5)
            raise DataError(
                f"the column '{name}' in {path}",
                f"the columns {', '.join(columns) or '(none)'}",
                f"Rename '{near[0]}' to '{name}'." if near else f"Add the column; {path.stem} have {', '.join(known)}.",
            )
    notes, known = [], read_columns(columns, known)
    for column in columns:
        if column not in known:
            near = get_close_matches(column, [name for name in known if name not in columns], n=1, cutoff=0.75)
            question = f"; did you mean '{near[0]}'?" if near else ""
            notes.append(f"the column '{column}' of {path.name} is kept as an attribute{question}")
    return notes


def _cut_lists(path: Path, rows: list[Row], column: str, separator: str | None) -> list[str]:
    """Cuts the cells of a column into lists, in place; returns notes on what separated them."""
    doubtful = ",/" if column == "aliases" else ","  # a path has slashes
    given = [row for row in rows if isinstance(row.get(column), str)]  # others are lists, or are refused
    lists, notes = list_column([row[column] for row in given], f"{column} of {path.name}", separator, doubtful)
    for row, values in zip(given, lists, strict=True):
        row[column] = values
    return notes


def _cut_candidates(path: Path, rows: list[Row], known: set[str], separator: str | None) -> list[str]:
    given = [row for row in rows if isinstance(row.get("candidates"), str) and row["candidates"].strip()]
    lists, notes = list_ids([row["candidates"] for row in given], known, f"candidates of {path.name}", separator)
    for row, values in zip(given, lists, strict=True):
        row["candidates"] = values
    return notes


def _attributes(row: Row, known: Sequence[str]) -> Row:
    known = read_columns(row, known)
    return {column: value for column, value in row.items() if column not in known and text_cell(value)}


def _entities(rows: list[Row], path: Path) -> pd.DataFrame:
    """The entities (columns of `ENTITY_SCHEMA`), and their `text`."""
    table = []
    for number, row in enumerate(rows, start=1):
        where = f"{path} row {number}"
        entity = entity_row(row, where)
        if not entity.id:
            raise DataError(f"an id in {where}", "an empty cell", "Give each entity an id of its own.")
        lists = {"aliases": list(entity.aliases), "images": list(entity.images)}
        table.append(asdict(entity) | lists | {"attributes": json_cell(_attributes(row, ENTITY_COLUMNS))})
    return pd.DataFrame(table, dtype=object).astype({"popularity": float})


def _mentions(rows: list[Row], path: Path, entity_ids: pd.Series, split_column: bool) -> MentionRows:
    collected = MentionRows(entity_ids)
    for number, row in enumerate(rows, start=1):
        where = f"{path.name} row {number}"
        mention = mention_row(row, where)
        collected.add(
            _split(row, where) if split_column else None,
            where=where,
            mention=mention.mention,
            context=mention.context,
            answer=mention.entity_id,
            images=mention.images,
            span=mention.span,
            candidates=None if mention.candidates is None else collected.known(mention.candidates),
            type=mention.type,
            attributes=_attributes(row, MENTION_COLUMNS),
        )
    return collected


def _split(row: Row, where: str) -> str:
    text = text_cell(row.get("split")).casefold()
    split = SPLIT_ALIASES.get(text, text)
    if split not in SPLITS:
        raise DataError(
            f"train, tune, dev or test as the split in {where}", f"'{text}'", "Put the cell right, or drop the column."
        )
    return split
