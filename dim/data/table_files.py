"""Tables as rows, whatever wrote them: CSV (also with `;` or tabs), JSON, JSON lines, Parquet, Excel."""

from __future__ import annotations

import json
import math
import re
from ast import literal_eval
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dim.data.csv_rows import iter_csv
from dim.data.files import clean_text, explain_read_errors, json_type, open_text, parse_json
from dim.data.parquet_rows import iter_parquet
from dim.data.sheet_rows import iter_sheet
from dim.data.stream import read_items
from dim.errors import DataError

Row = dict[str, Any]
LONGEST_QUOTE = 100  #: Characters of a cell that a message quotes.
MOST_BITS = 1024  #: Of a whole number in a cell: as large as a float may be.
_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".parquet": "parquet",
    ".xlsx": "sheet",
}
SUFFIXES = (*_FORMATS, ".json")  #: JSON may be an array or lines.
_ITEM = r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\""""
_PRINTED_ITEM = re.compile(_ITEM)
_PRINTED_ARRAY = re.compile(rf"\[\s*(?:{_ITEM})(?:\s*,?\s*(?:{_ITEM}))*\s*,?\s*\]")


class Table(NamedTuple):
    """A table that was read.

    Attributes:
        columns: Their names; a known one has its known name, whatever its case and spaces in the file.
        rows: Column → value. Values are as the file types them; in CSV all are strings.
        notes: Sentences that the user should read: what was recognized (separator, encoding, column names).
    """

    columns: list[str]
    rows: list[Row]
    notes: list[str]


def read_table(path: Path, encoding: str | None = None, known: Collection[str] = ()) -> Table:
    """The columns and rows of a table, and notes on how it was read.

    Args:
        path: `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.parquet` or `.xlsx`; of other names the first bytes tell the format
            (of `.json`, whether it is an array or JSON lines).
        encoding: Of the text; None: as its first bytes tell, else UTF-8.
        known: The columns that the caller knows. One of the file that differs from them by case, spaces or hyphens
            gets the known name, and a note says so.

    Raises:
        ConfigError: There is no such encoding.
        DataError: The file cannot be read as what it should be; the message names the line where there is one.
    """
    notes: list[str] = []
    rows = []
    for _, row in iter_table(path, encoding, known, notes):
        if isinstance(row, DataError):
            raise row
        rows.append(row)
    if not rows:
        raise no_rows(path)
    return Table(columns_of(rows), rows, notes)


def no_rows(path: Path) -> DataError:
    """What is raised of a table that has none."""
    return DataError(f"rows in {path}", "none", "Fill the table, or name another folder.")


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The columns of a table in the order in which they come; rows of JSON may differ."""
    return list(dict.fromkeys(column for row in rows for column in row))


def iter_table(
    path: Path,
    encoding: str | None = None,
    known: Collection[str] = (),
    notes: list[str] | None = None,
    image_columns: Collection[str] = (),
) -> Iterator[tuple[str, Row | DataError]]:
    """The rows of a table one by one, in memory that does not grow, each with its place (`line 3`, `row 3`).

    A row that cannot be read (no JSON object, too many cells) comes as the DataError that says why, in its place, and
    the rows after it follow; raise it, or count it and go on.

    Args:
        path: As `read_table`.
        encoding: As `read_table`.
        known: As `read_table`.
        notes: Takes in the sentences that `Table.notes` has, before the first row comes.
        image_columns: Of Parquet, in which bytes are an image; see `dim.data.parquet_rows`.

    Raises:
        ConfigError: There is no such encoding.
        DataError: The file as a whole cannot be read.
        MissingExtraError: It is a workbook, and openpyxl is not installed.
    """
    notes = [] if notes is None else notes
    kind = _format_of(path)
    if kind == "csv":
        yield from iter_csv(path, encoding, lambda columns: _named(path, columns, known, notes), notes)
        return
    if kind == "sheet":
        yield from iter_sheet(path, lambda columns: _named(path, columns, known, notes), notes)
        return
    readers: dict[str, Callable[[Path], Iterator[tuple[str, Row | DataError]]]] = {
        "lines": partial(_iter_json_lines, encoding=encoding),
        "array": partial(_iter_json_array, encoding=encoding),
        "parquet": partial(iter_parquet, image_columns=image_columns),
    }
    renamed: dict[tuple[str, ...], list[str]] = {}
    for where, row in readers[kind](path):
        if isinstance(row, DataError):
            yield where, row
            continue
        keys = tuple(row)
        if keys not in renamed:
            renamed[keys] = _named(path, list(keys), known, notes)
        yield where, dict(zip(renamed[keys], row.values(), strict=True))


def known_names(columns: Sequence[str], known: Collection[str]) -> list[str]:
    """The columns; one that differs from a known one by case, spaces or hyphens has the known name.

    Example:
        >>> known_names(["Mention", " entity ID", "Topic"], ["mention", "entity_id"])
        ['mention', 'entity_id', 'Topic']
    """
    names: list[str] = []
    for column in columns:
        plain = re.sub(r"[\s-]+", "_", column.strip()).casefold()
        fits = plain in known and plain not in columns and plain not in names
        names.append(plain if fits else column.strip() if column.strip() not in columns else column)
    return names


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
    check_size(value)
    return clean_text(str(value)).strip()


def check_size(value: Any, where: str = "") -> None:
    """Raises DataError for a whole number that is larger than any float: Python does not write it as a text."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        of = f" in {where}" if where else ""
        found = f"one of {value.bit_length():,}"
        raise DataError(f"whole numbers of at most {MOST_BITS:,} bits{of}", found, "Give it as a text.")


def list_cell(value: Any, separator: str = "|") -> list[str]:
    """A cell as several texts: an array, an array in a string (JSON, Python, NumPy), or a string cut into pieces.

    Args:
        value: The cell.
        separator: What a string is cut at, besides line breaks.

    Example:
        >>> list_cell("a.jpg|b.jpg"), list_cell('["a|b"]'), list_cell("['a', 'b']"), list_cell(None)
        (['a.jpg', 'b.jpg'], ['a|b'], ['a', 'b'], [])
        >>> list_cell("Bob; Rob", separator=";")
        ['Bob', 'Rob']
    """
    if isinstance(value, str):
        array = _array_in(value)
        value = re.split(rf"{re.escape(separator)}|[\r\n]+", value) if array is None else array
    values = value if isinstance(value, list) else [value]
    return [text for text in map(text_cell, values) if text]


def _array_in(text: str) -> list[Any] | None:
    """The array of single values that a string holds, None where it holds none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        # What str() of a list or of an array gives: pandas writes it into CSV.
        if not _PRINTED_ARRAY.fullmatch(text.strip()):
            return None
        return [literal_eval(item[0]) for item in _PRINTED_ITEM.finditer(text)]
    is_flat = isinstance(value, list) and not any(isinstance(item, list | dict) for item in value)
    return value if is_flat else None


def number_cell(value: Any, where: str) -> float | None:
    """A cell as a finite number, None where it is empty.

    Raises:
        DataError: It is something else.
    """
    check_size(value, where)
    if isinstance(value, bytes | dict | list):
        raise DataError(f"a number or nothing in {where}", json_type(value), "Put the cell right.")
    text = text_cell(value)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        comma = re.fullmatch(r"-?\d+,\d+", text)
        remedy = "Write a point before the decimals, and no other mark." if comma else "Put the cell right."
        raise DataError(f"a number or nothing in {where}", f"'{text[:LONGEST_QUOTE]}'", remedy)
    return number


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    with explain_read_errors(path), path.open("rb") as file:
        head = file.read(256)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK", b"\x1f\x8b", b"\xd0\xcf")):
        raise DataError(
            f"a table ({', '.join(SUFFIXES)}) at {path}", "an Excel or packed file", "Save it as .xlsx, or unpack it."
        )
    first = head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1]
    return {b"{": "lines", b"[": "array"}.get(first, "csv")


def _named(path: Path, columns: list[str], known: Collection[str], notes: list[str]) -> list[str]:
    """The columns by their known names."""
    names = known_names(columns, known)
    pairs = [(column, name) for column, name in zip(columns, names, strict=True) if name in known and name != column]
    new = [f"'{column}' is read as '{name}'" for column, name in pairs]
    new = [pair for pair in new if not any(pair in note for note in notes if f" {path.name}" in note)]
    if new:
        notes.append(f"columns of {path.name}: {', '.join(new)}")
    return names


def _iter_json_lines(path: Path, encoding: str | None) -> Iterator[tuple[str, Row | DataError]]:
    with open_text(path, encoding) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = parse_json(line.rstrip(), path, first_line=number)
                if not isinstance(row, dict):
                    raise DataError(
                        f"one JSON object a line in {path}", f"{json_type(row)} at line {number}", "Put it right."
                    )
            except DataError as error:
                yield f"line {number}", error
            else:
                yield f"line {number}", row


def _iter_json_array(path: Path, encoding: str | None) -> Iterator[tuple[str, Row | DataError]]:
    for number, row in read_items(path, encoding):
        if isinstance(row, dict):
            yield f"row {number}", row
        else:
            found = f"{json_type(row)} at row {number}"
            yield f"row {number}", DataError(f"JSON objects in {path}", found, "Put it right.")
