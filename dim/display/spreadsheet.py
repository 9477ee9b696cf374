"""Cells of CSV that no spreadsheet takes for a formula, and what they were before."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from typing import TextIO

#: How spreadsheets know a formula; a cell that begins with further `'` before it would be another one's form.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_ONE = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_NUMBERS = re.compile(rf"{_ONE}(\|{_ONE})*")  # several, such as the scores of a row: whoever parts them reads numbers


def spreadsheet_cell(text: str) -> str:
    """The text as a cell: with `'` before what a spreadsheet would take for a formula, as one types it there.

    Numbers stay as they are, and so do several with `|` between them.

    Example:
        >>> [spreadsheet_cell(text) for text in ("=1+1", "-0.5|-2", "'=1", "Ann's")]
        ["'=1+1", '-0.5|-2', "''=1", "Ann's"]
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBERS.fullmatch(text) else text


def spreadsheet_writer(file: TextIO, delimiter: str = ",") -> Callable[[Iterable[str]], None]:
    """What writes a row of texts, each as `spreadsheet_cell` has it."""
    plain = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    # Python 3.11 puts no quotes around a lone carriage return, which would end the row.
    quoted = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(texts: Iterable[str]) -> None:
        cells = [spreadsheet_cell(text) for text in texts]
        (quoted if any("\r" in cell for cell in cells) else plain).writerow(cells)

    return write


def text_of_cell(cell: str) -> str:
    """The text of which `spreadsheet_cell` made the cell.

    Example:
        >>> [text_of_cell(cell) for cell in ("'=1+1", "-0.5", "''=1", "'Abd")]
        ['=1+1', '-0.5', "'=1", "'Abd"]
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
