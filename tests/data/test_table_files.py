from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from releases import write_table

from dim.data.table_files import list_cell, number_cell, read_table, text_cell
from dim.errors import DataError


def read_error(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_three_formats_give_the_same_text(tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "name": 'A "quoted", name\nin two lines'}, {"id": 2, "name": "NA"}]
    write_table(tmp_path / f"t{suffix}", rows)
    columns, read = read_table(tmp_path / f"t{suffix}")
    assert columns == ["id", "name"]
    assert [[text_cell(row[column]) for column in columns] for row in read] == [
        ["1", 'A "quoted", name\nin two lines'],
        ["2", "NA"],
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("id,name\n1,A\n2,B,C\n", "expected 2 cells a row"),
        ("id,name\n1,A\n2,B,C\n", "found    3 at line 3"),
        ('id,name\n1,"A\n2,B\n', "unexpected end of data at line 3"),
        ('id,name\n1,"A"B\n', "at line 2"),
        ("id,id\n1,2\n", "'id' twice"),
        ("id,name\n", "expected rows in"),
        ("", "expected rows in"),
    ],
)
def test_bad_csv_names_the_line(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "entities.csv"
    path.write_text(content)
    message = read_error(path)
    assert problem in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("content", "problem"),
    [('{"id": 1}\n\n{"id": \n', "line 3"), ('{"id": 1}\n[2]\n', "an array at line 2"), ("\n", "expected rows in")],
)
def test_bad_json_lines_name_the_line(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "entities.jsonl"
    path.write_text(content)
    assert problem in read_error(path)


@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense", b"id,name\n1,A\n"])
def test_an_unreadable_parquet_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "entities.parquet"
    path.write_bytes(content)
    assert f"expected a Parquet file at {path}" in read_error(path)


def test_a_number_that_is_none_is_an_error() -> None:
    assert number_cell(" 2.5 ", "x") == 2.5
    assert number_cell(None, "x") is None
    for bad in ("many", "nan", "inf"):
        with pytest.raises(DataError, match=f"expected a number or nothing in row 3\nfound    '{bad}'"):
            number_cell(bad, "row 3")


def test_a_bracket_that_begins_no_json_array_is_a_name() -> None:
    assert list_cell("[1].jpg|b.jpg") == ["[1].jpg", "b.jpg"]
    assert list_cell([1, None, "b"]) == ["1", "b"]


@given(st.one_of(st.none(), st.floats(), st.integers(), st.text(), st.booleans(), st.just(date(2020, 1, 2))))
def test_every_cell_is_a_text_that_utf8_can_hold(value: object) -> None:
    text_cell(value).encode()
