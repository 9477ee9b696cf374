"""CSV as spreadsheets, pandas and databases write it: with commas, semicolons, tabs or bars between cells."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from dim.data.files import check_once, open_text, text_encoding
from dim.display.spreadsheet import text_of_cell
from dim.errors import DataError

LONGEST_CELL = 1 << 28  #: Characters; beyond, a quote was not closed. (Python's own limit, 131,072, is a long article.)
#: The last columns of the answers that `dim link --output` writes as CSV, in cells of `dim.display.spreadsheet`.
ANSWER_COLUMNS = ("entity_ids", "entity_names", "entity_scores", "entity_probabilities", "error")
SEPARATORS = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'"}


def iter_csv(
    path: Path, encoding: str | None, name_columns: Callable[[list[str]], list[str]], notes: list[str]
) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
    """The place and the cells of each row, by column; all cells are strings. Rows that fail come as their error.

    The separator is what cuts the header into most columns.

    Args:
        path: The file.
        encoding: Of its text; None: as its first bytes tell.
        name_columns: Gives the columns of the header their names.
        notes: Takes in what was recognized.

    Raises:
        DataError: The file cannot be read, is not in that encoding, or has a column twice.
    """
    # Not pandas: it reads the names "NA" and "None" as nulls, and takes surplus cells for an index.
    csv.field_size_limit(max(LONGEST_CELL, csv.field_size_limit()))
    with open_text(path, encoding, newline="") as file:
        first_line, options = _options(path, file)
        if options["delimiter"] != ("\t" if path.suffix.lower() == ".tsv" else ","):
            notes.append(f"{path.name} was read with {SEPARATORS[options['delimiter']]} between its cells")
        if encoding is None and (told := text_encoding(path)) != "utf-8":
            notes.append(f"{path.name} was read as {told.upper()}")
        reader = csv.reader(file, strict=True, **options)
        try:
            columns = _without_blanks([column.lstrip("\ufeff") for column in next(reader, [])])
        except csv.Error as error:
            raise _broken(path, error, first_line, first_line + reader.line_num) from error
        text_of = text_of_cell if tuple(columns[-len(ANSWER_COLUMNS) :]) == ANSWER_COLUMNS else str
        columns = [text_of(column) for column in columns]
        check_once(columns, path)
        names = name_columns(columns)
        while True:
            began = first_line + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield f"line {began}", _broken(path, error, began, first_line + reader.line_num)
                continue
            if len(cells) > len(names):
                cells = [*cells[: len(names)], *_without_blanks(cells[len(names) :])]
            if cells and len(cells) != len(names):
                yield (
                    f"line {began}",
                    DataError(
                        f"{len(names)} cells a row in {path}, as its header has",
                        f"{len(cells)} at line {first_line + reader.line_num}",
                        "Put quotes around cells that hold the separator or line breaks.",
                    ),
                )
            elif cells:
                yield f"line {began}", dict(zip(names, map(text_of, cells), strict=True))


def _options(path: Path, file: TextIO) -> tuple[int, dict[str, Any]]:
    """The lines before the header (`sep=;`, which Excel reads), and what the reader must know of the rest."""
    start = file.tell()
    line = file.readline(LONGEST_CELL)
    told = line.strip().removeprefix("\ufeff").casefold()
    if told.startswith("sep=") and told[4:] in SEPARATORS:
        return 1, {"delimiter": told[4:], "skipinitialspace": False}
    file.seek(start)
    headers = {separator: _cut(line, separator) for separator in SEPARATORS}
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    separator = max(headers, key=lambda one: (len(headers[one]), one == usual))
    rest = headers[separator][1:]
    # A space after each separator belongs to it, else a quote behind it would be a part of the cell.
    return 0, {"delimiter": separator, "skipinitialspace": bool(rest) and all(cell[:1] == " " for cell in rest)}


def _without_blanks(cells: list[str]) -> list[str]:
    """The cells without the blank ones at their end: spreadsheets write them for columns that were once filled."""
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _cut(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _broken(path: Path, error: csv.Error, began: int, ended: int) -> DataError:
    place = f"line {ended}" + (f", in a row that begins at line {began}" if began < ended else "")
    return DataError(
        f"CSV in {path}", f"{error} at {place}", "Look for a quote that is not closed; write quotes inside cells twice."
    )
