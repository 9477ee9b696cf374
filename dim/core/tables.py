"""Tables of one shape, and a hash of what they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dim.core.files import content_hash, regular
from dim.core.folder_files import json_value
from dim.core.typed import Mismatch

_ABOUT = b"dim"  #: In the footer of a Parquet file: what it says of itself.


class Said(TypedDict):
    """What a Parquet file says of itself."""

    hash: str
    facts: NotRequired[dict[str, Any]]


def conform(table: pd.DataFrame, schema: pa.Schema, empty_lists: tuple[str, ...] = ()) -> pd.DataFrame:
    """The table with exactly the columns of `schema`; absent columns are null, or empty lists where named."""
    columns = {}
    for column in schema.names:
        if column in table:
            columns[column] = table[column].reset_index(drop=True)
        else:
            fill: list[Any] = [[]] if column in empty_lists else [None]
            columns[column] = pd.Series(fill * len(table), dtype=object)
    return pd.DataFrame(columns)


def write_frame(path: Path, table: pd.DataFrame, schema: pa.Schema, **about: Any) -> dict[str, Any]:
    """Writes a Parquet file that says in its footer what it is: its `frame_hash` as `hash`, and what is given, as JSON.

    So a table and what is said of it are replaced in one step. Returns what it says.
    """
    about = {"hash": frame_hash(table), **about}
    found = pa.Table.from_pandas(table, schema, preserve_index=False)
    said = {**(found.schema.metadata or {}), _ABOUT: json.dumps(about).encode()}
    pq.write_table(found.replace_schema_metadata(said), path)
    return about


def said_by(path: Path) -> dict[str, Any]:
    """What a file says of itself; nothing where `write_frame` did not write it, or it cannot be read."""
    try:
        said = (pq.read_schema(regular(path)).metadata or {}).get(_ABOUT)
        about: dict[str, Any] = {} if said is None else json_value(said, Said)
    except (OSError, ValueError, Mismatch, pa.ArrowException):
        return {}
    return about


def frame_hash(table: pd.DataFrame) -> str:
    """A hash of a table's values that depends on nothing else (chunking, index, pandas version)."""
    return hash_of(column_hashes(table))


def column_hashes(table: pd.DataFrame) -> dict[str, str]:
    """A hash of each column's values, in the table's order."""
    return {str(name): _column_hash(table[name]) for name in table}


def hash_of(columns: Mapping[str, str]) -> str:
    """The `frame_hash` of a table of these columns, from what `column_hashes` says of each."""
    return content_hash(*columns, *columns.values())


def _column_hash(column: pd.Series[Any], chunk: int = 8192) -> str:
    """Of the values as JSON, a chunk at a time: a column of long texts need not stand in memory once more."""
    digest = hashlib.sha256()
    for start in range(0, len(column), chunk):
        values = json.dumps(_plain(column.iloc[start : start + chunk].tolist()), ensure_ascii=False)
        digest.update(f"{values[1:-1]}, ".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _plain(values: list[Any]) -> list[Any]:
    def plain(value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        if hasattr(value, "__len__"):
            return list(value)
        return None if pd.isna(value) else float(value)

    return [plain(value) for value in values]
