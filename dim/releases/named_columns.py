"""Columns of a user's tables that are called otherwise than here, and what they are read as."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

from dim.data.table_files import Row, columns_of, known_names, text_cell
from dim.data.table_rows import SYNONYMS, read_columns
from dim.errors import DataError
from dim.releases.mention_rows import GOLD_SEPARATOR, id_of, is_nil

#: What others call a column, read as it where the table has no column of its own name. Of gold ids half must be known.
CALLED = {
    "id": ("qid", "entity_id", "wikidata_id", "identifier"),
    "name": ("label", "title", "entity"),
    "mention": ("mentions", "surface", "surface_form"),
    "context": ("sentence", "text", "caption"),
    "image": ("image_path", "image_url", "img", "imgpath", "photo", "picture"),
    "entity_id": ("answer", "gold", "gold_id", "qid", "wikidata_id"),
}


def rename_columns(path: Path, rows: list[Row], known: Sequence[str], ids: Collection[str] | None = None) -> list[str]:
    """Gives columns the names that they are known by, in place; returns notes.

    Args:
        path: The table, for the notes.
        rows: Its rows.
        known: The columns of such a table.
        ids: Of the KB, where it is a table of mentions.
    """
    columns, notes = columns_of(rows), []
    for name in known:
        if name in columns or SYNONYMS.get(name) in columns:
            continue
        for called in CALLED.get(name, ()):
            found = next((column for column in columns if known_names([column], [called]) == [called]), None)
            if found is None or (name == "entity_id" and not _mostly_known(rows, found, ids or ())):
                continue
            for row in rows:
                if found in row:
                    row[name] = row.pop(found)
            columns[columns.index(found)] = name
            notes.append(f"columns of {path.name}: '{found}' is read as '{name}'")
            break
    return notes


def check_columns(path: Path, columns: Sequence[str], known: Sequence[str], required: Sequence[str]) -> list[str]:
    """Notes on the columns that become attributes.

    Raises:
        DataError: A required one is missing.
    """
    for name in required:
        if name not in columns:
            near = get_close_matches(name, [column for column in columns if column not in known], n=1, cutoff=0.5)
            raise DataError(
                f"the column '{name}' in {path}",
                f"the columns {', '.join(columns) or '(none)'}",
                f"Rename '{near[0]}' to '{name}'." if near else f"Add the column; {path.stem} have {', '.join(known)}.",
            )
    known = read_columns(columns, known)
    others = [column for column in columns if column not in known]
    notes = [f"columns of {path.name} that are kept as attributes: {', '.join(others)}"] if others else []
    absent = [name for name in known if name not in columns]
    return notes + [
        f"the column '{column}' of {path.name} is kept as an attribute; did you mean '{near}'?"
        for column in others
        for near in get_close_matches(column, absent, n=1, cutoff=0.75)
    ]


def _mostly_known(rows: list[Row], column: str, ids: Collection[str]) -> bool:
    values = [text for row in rows if not is_nil(text := text_cell(row.get(column)))]
    known = sum(any(id_of(each, ids) for each in (value, *value.split(GOLD_SEPARATOR))) for value in values)
    return bool(values) and known * 2 >= len(values)
