"""Workbooks as museums have them, written by openpyxl, which is the extra `xlsx`."""

import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from dim.data.table_files import iter_table, read_table
from dim.errors import DataError, MissingExtraError

ROWS = [["Id", "Name", "born"], [1, "齐白石", date(1864, 1, 1)], [None, None, None], [2.0, "Käthe", 1867, None]]


def write_sheets(path: Path, **sheets: list[list[Any]]) -> Path:
    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_the_rows_come_by_their_columns_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    table = read_table(write_sheets(tmp_path / "entities.xlsx", Sheet1=ROWS), known=("id", "name"))
    assert table.columns == ["id", "name", "born"]
    assert table.rows == [
        {"id": 1, "name": "齐白石", "born": date(1864, 1, 1)},
        {"id": 2, "name": "Käthe", "born": 1867},
    ]


def test_of_several_sheets_the_one_called_like_the_file_is_read(tmp_path: Path) -> None:
    path = write_sheets(tmp_path / "entities.xlsx", Notes=[["x"], [1]], Entities=ROWS)
    table = read_table(path)
    assert len(table.rows) == 2
    assert "of the 2 sheets of entities.xlsx, 'Entities' was read" in table.notes


def test_a_row_that_is_longer_than_its_header_fails_alone(tmp_path: Path) -> None:
    path = write_sheets(tmp_path / "t.xlsx", t=[["id"], [1], [2, "beside"], [3]])
    found = list(iter_table(path))
    assert [where for where, _ in found] == ["row 2", "row 3", "row 4"]
    assert isinstance(found[1][1], DataError)
    assert "2 in row 3" in str(found[1][1])


@pytest.mark.parametrize("header", [["id", "id"], ["id", None, "name"]])
def test_a_header_that_names_no_column_is_refused(tmp_path: Path, header: list[Any]) -> None:
    with pytest.raises(DataError, match="column"):
        read_table(write_sheets(tmp_path / "t.xlsx", t=[header, [1, 2, 3]]))


def test_what_is_no_workbook_and_what_is_out_of_proportion_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match="an Excel workbook at"):
        read_table(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"0" * 70_000_000)
    with pytest.raises(DataError, match="a workbook in proportion"):
        read_table(tmp_path / "b.xlsx")


def test_without_openpyxl_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sheets(tmp_path / "t.xlsx", t=ROWS)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"dim-linker\[xlsx\]"):
        read_table(path)
