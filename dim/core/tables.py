"""Tables of one shape, and a hash of what they hold."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dim.core.files import content_hash, regular
from dim.core.folder_files import json_value

_ABOUT = b"dim"  #: In the footer of a Parquet file: what it says of itself.
_HASHED = 8192  #: Rows that are Python objects at once.


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
    write_table(path, pa.Table.from_pandas(table, schema, preserve_index=False), about)
    return about


def write_table(path: Path, table: pa.Table, about: Mapping[str, Any]) -> None:
    """Writes a Parquet file that says `about` of itself (`said_by`), as JSON in its footer."""
    said = {**(table.schema.metadata or {}), _ABOUT: json.dumps(about).encode()}
    pq.write_table(table.replace_schema_metadata(said), path)


def said_by(path: Path, kind: type = Said) -> dict[str, Any]:
    """What a file says of itself; nothing where `write_table` did not write it so, or it cannot be read.

    Args:
        path: The file.
        kind: A TypedDict of what `write_table` was told to have it say.
    """
    try:
        said = (pq.read_schema(regular(path)).metadata or {}).get(_ABOUT)
        about: dict[str, Any] = {} if said is None else json_value(said, kind)
    except (OSError, ValueError, pa.ArrowException):
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


class ColumnHash:
    """The hash of a column that comes a chunk at a time, however it is cut."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, values: list[Any]) -> None:
        """Takes in the values that come next."""
        if values:
            text = json.dumps(_plain(values), ensure_ascii=False)
            self._digest.update(f"{text[1:-1]}, ".encode("utf-8", "surrogatepass"))

    def hexdigest(self) -> str:
        """Of all so far: what `column_hashes` says of the whole column."""
        return self._digest.hexdigest()


def _column_hash(column: pd.Series[Any]) -> str:
    """Of the values as JSON, a chunk at a time: a column of long texts need not stand in memory once more."""
    found = ColumnHash()
    for start in range(0, len(column), _HASHED):
        found.update(column.iloc[start : start + _HASHED].tolist())
    return found.hexdigest()


def _plain(values: list[Any]) -> list[Any]:
    def plain(value: Any) -> Any:
        if value is None or isinstance(value, str | list):
            return value
        if isinstance(value, float):  # before pandas, which takes ten times as long to see that it is a number
            return None if math.isnan(value) else float(value)
        if hasattr(value, "__len__"):
            return list(value)
        return None if pd.isna(value) else float(value)

    return [plain(value) for value in values]
