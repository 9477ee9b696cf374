"""The rows of an Excel workbook (`.xlsx`), one by one; needs the extra `xlsx` (openpyxl)."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, time
from pathlib import Path
from typing import Any

from dim.core.folder_files import LEAST, TIMES
from dim.data.files import check_once, explain_read_errors
from dim.errors import DataError, MissingExtraError


def iter_sheet(
    path: Path, name_columns: Callable[[list[str]], list[str]], notes: list[str]
) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
    """The place (`row 3`, as the program shows it) and the cells of each row; rows that fail come as their error.

    Of several sheets, the one called like the file is read, else the first. Of a formula, its last value is read. Empty
    rows are left out; the first row that is not empty is the header.

    Args:
        path: The file.
        name_columns: Gives the columns of the header their names.
        notes: Takes in what was recognized.

    Raises:
        DataError: It is no workbook, takes too much memory, or has a column twice.
        MissingExtraError: openpyxl is not installed.
    """
    rows = _rows(path, notes)
    header = next(((where, cells) for where, cells in rows if cells), None)
    if header is None:
        return
    if not all(header[1]):
        raise DataError(f"a name for every column in {path}", f"an empty cell in {header[0]}", "Name the column.")
    columns = [str(cell).strip() for cell in header[1]]
    check_once(columns, path)
    names = name_columns(columns)
    for where, cells in rows:
        if len(cells) > len(names):
            expected = f"{len(names)} cells a row in {path}, as its header has"
            yield where, DataError(expected, f"{len(cells)} in {where}", "Clear the cells beside the table.")
        elif cells:
            yield where, dict(zip(names, [*cells, *[None] * (len(names) - len(cells))], strict=True))


def _rows(path: Path, notes: list[str]) -> Iterator[tuple[str, list[Any]]]:
    """The place and the cells of each row of the sheet, without the empty ones at its end."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingExtraError("openpyxl", "xlsx") from error
    with explain_read_errors(path), path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and validations, which nobody reads here
        try:
            _check_size(path)
            book = load_workbook(file, read_only=True, data_only=True)
            sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] or book.worksheets
            sheet = next((each for each in sheets if each.title.strip().casefold() == path.stem.casefold()), sheets[0])
            if len(sheets) > 1:
                notes.append(f"of the {len(sheets)} sheets of {path.name}, '{sheet.title}' was read")
            sheet.reset_dimensions()  # some programs write wrong ones
            for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
                cells = [_plain(cell) for cell in row]
                while cells and cells[-1] in (None, ""):
                    cells.pop()
                yield f"row {number}", cells
        except (DataError, MemoryError, OSError):
            raise
        except Exception as error:  # openpyxl raises many kinds on files that are no workbook
            remedy = "Save it anew as .xlsx, or as CSV."
            raise DataError(f"an Excel workbook at {path}", type(error).__name__, remedy) from error


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as packed:
        size = sum(member.file_size for member in packed.infolist())
    stored = path.stat().st_size
    if size > max(LEAST, TIMES * stored):
        found = f"{path.name}, whose {stored:,} bytes become {size:,}, more than {TIMES} times as many"
        raise DataError("a workbook in proportion", found, "Save the table as CSV.")


def _plain(cell: Any) -> Any:
    """A day without a time of day as a date."""
    return cell.date() if isinstance(cell, datetime) and cell.time() == time() else cell
