"""CSV, JSON lines and Parquet files as rows, whatever wrote them."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dim.data.files import clean_text, explain_read_errors, json_type, read_json_lines
from dim.errors import DataError

Row = dict[str, Any]
SUFFIXES = (".csv", ".jsonl", ".parquet")


def read_table(path: Path) -> tuple[list[str], list[Row]]:
    """The column names and the rows of a table. Values are as the file types them; in CSV all are strings.

    Raises:
        DataError: The file cannot be read as what its suffix says; the message names the line where there is one.
    """
    readers: dict[str, Callable[[Path], tuple[list[str], list[Row]]]] = {
        ".csv": _read_csv,
        ".tsv": partial(_read_csv, delimiter="\t"),
        ".jsonl": _read_json_lines,
        ".parquet": _read_parquet,
    }
    columns, rows = readers[path.suffix](path)
    if not rows:
        raise DataError(f"rows in {path}", "none", "Fill the table, or name another folder.")
    return columns, rows


def text_cell(value: Any) -> str:
    """A cell as text: null and NaN are empty, and a whole number has no decimal point.

    Ids may be integers in one file and strings in the other; as text they are the same.

    Example:
        >>> [text_cell(value) for value in (17, 17.0, " Q42 ", None, float("nan"))]
        ['17', '17', 'Q42', '', '']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return clean_text(str(value)).strip()


def list_cell(value: Any) -> list[str]:
    """A cell as several texts: an array, a JSON array in a string, or a string cut at `|`.

    Example:
        >>> list_cell("a.jpg|b.jpg"), list_cell('["a|b"]'), list_cell(None)
        (['a.jpg', 'b.jpg'], ['a|b'], [])
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = value.split("|")
    elif isinstance(value, str):
        value = value.split("|")
    values = value if isinstance(value, list) else [value]
    return [text for text in map(text_cell, values) if text]


def number_cell(value: Any, where: str) -> float | None:
    """A cell as a finite number, None where it is empty.

    Raises:
        DataError: It is something else.
    """
    text = text_cell(value)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"a number or nothing in {where}", f"'{text}'", "Put the cell right.")
    return number


def _read_csv(path: Path, delimiter: str = ",") -> tuple[list[str], list[Row]]:
    with explain_read_errors(path), path.open(encoding="utf-8-sig", newline="") as file:
        # Not pandas: it reads the names "NA" and "None" as nulls, and takes surplus cells for an index.
        reader = csv.reader(file, strict=True, delimiter=delimiter)
        try:
            columns = next(reader, [])
            twice = [name for name, count in Counter(columns).items() if count > 1]
            if twice:
                raise DataError(f"every column once in {path}", f"'{twice[0]}' twice", "Rename one of them.")
            rows = []
            for cells in reader:
                if cells and len(cells) != len(columns):
                    raise DataError(
                        f"{len(columns)} cells a row in {path}, as its header has",
                        f"{len(cells)} at line {reader.line_num}",
                        "Put quotes around cells that hold commas or line breaks.",
                    )
                if cells:
                    rows.append(dict(zip(columns, cells, strict=True)))
        except csv.Error as error:
            raise DataError(
                f"CSV in {path}",
                f"{error} at line {reader.line_num}",
                "Look for a quote that is not closed; write quotes inside cells twice.",
            ) from error
    return columns, rows


def _read_json_lines(path: Path) -> tuple[list[str], list[Row]]:
    rows = []
    for number, row in read_json_lines(path):
        if not isinstance(row, dict):
            raise DataError(f"one JSON object a line in {path}", f"{json_type(row)} at line {number}", "Put it right.")
        rows.append(row)
    return list(dict.fromkeys(column for row in rows for column in row)), rows


def _read_parquet(path: Path) -> tuple[list[str], list[Row]]:
    with explain_read_errors(path), path.open("rb") as file:
        try:
            table = pq.read_table(file)
        except pa.ArrowException as error:
            raise DataError(f"a Parquet file at {path}", str(error), "Write the file again.") from error
    return table.column_names, table.to_pylist()
