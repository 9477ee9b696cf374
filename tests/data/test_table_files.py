import json
import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from releases import write_table

from dim.data.table_files import iter_table, list_cell, number_cell, read_table, text_cell
from dim.errors import ConfigError, DataError


def read_error(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_three_formats_give_the_same_text(tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "name": 'A "quoted", name\nin two lines'}, {"id": 2, "name": "NA"}]
    write_table(tmp_path / f"t{suffix}", rows)
    columns, read, notes = read_table(tmp_path / f"t{suffix}")
    assert notes == []
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


ROWS = [{"id": "1", "name": "Café, Ltd"}, {"id": "2", "name": 'the "B"'}]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ('id;name\n1;Café, Ltd\n2;"the ""B"""\n', "t.csv was read with ';' between its cells"),
        ('id\tname\n1\tCafé, Ltd\n2\t"the ""B"""\n', "t.csv was read with tabs between its cells"),
        ('sep=;\r\nid;name\r\n1;Café, Ltd\r\n2;"the ""B"""\r\n', "t.csv was read with ';' between its cells"),
        ('id, name\n1, "Café, Ltd"\n2, "the ""B"""\n', None),
        ('"id","name"\r"1","Café, Ltd"\r2,"the ""B"""\r', None),
    ],
)
def test_whatever_stands_between_the_cells_is_recognized_and_said(
    tmp_path: Path, content: str, note: str | None
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8", newline="")
    assert read_table(path) == (["id", "name"], ROWS, [note] if note else [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_marks_and_zero_bytes_tell_the_encoding(tmp_path: Path, encoding: str, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    write_table(path, ROWS)
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert read_table(path).rows == ROWS


def test_cp1252_is_named_with_line_and_remedy_and_read_where_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(path, ROWS)
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    message = read_error(path)
    assert "found    the byte 0xe9 at line 2, which is cp1252 if this reads well: '1,\"Café, Ltd\"'" in message
    assert "--encoding cp1252" in message
    assert read_table(path, "cp1252").rows == ROWS
    array = tmp_path / "t.json"
    array.write_bytes(json.dumps(ROWS, ensure_ascii=False).encode("cp1252"))
    assert "--encoding cp1252" in read_error(array)
    assert read_table(array, "cp1252").rows == ROWS
    with pytest.raises(ConfigError, match="expected an encoding"):
        read_table(path, "cp-12520")


def test_a_cell_may_be_longer_than_an_article(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(path, [{"id": "1", "name": "word " * 100_000}])
    assert len(read_table(path).rows[0]["name"]) == 500_000


def test_a_quote_that_is_not_closed_names_the_line_where_its_row_begins(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,name\n1,"A\n2,B\n3,C\n')
    assert "unexpected end of data at line 4, in a row that begins at line 2" in read_error(path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_known_columns_are_found_whatever_their_case_and_spaces(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    write_table(path, [{" Entity ID": "1", "NAME": "A", "Born In ": "x"}])
    columns, rows, notes = read_table(path, known=("entity_id", "name", "text"))
    assert columns == ["entity_id", "name", "Born In"]
    assert rows == [{"entity_id": "1", "name": "A", "Born In": "x"}]
    assert notes == [f"columns of t{suffix}: ' Entity ID' is read as 'entity_id', 'NAME' is read as 'name'"]


def test_a_column_that_is_there_already_is_not_taken_twice(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ID,id\n1,2\n")
    assert read_table(path, known=("id",)).rows == [{"ID": "1", "id": "2"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.txt", '{"id": 1}\n{"id": 2}\n'), ("t.json", '[{"id": 1},\n {"id": 2}]'), ("t.JSONL", '{"id": 1}\n{"id": 2}')],
)
def test_of_another_name_the_first_bytes_tell_the_format(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_table(tmp_path / name).rows == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", 'id,name\n1,A\n2,B,C\n"3"3,D\n4,E\n'),
        ("t.jsonl", '{"id": "1"}\n{"id":\n[3]\n{"id": "4"}\n'),
    ],
)
def test_rows_that_fail_come_as_their_errors_and_the_rest_follows(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    found = list(iter_table(tmp_path / name))
    first = found[0][0].removeprefix("line ")
    assert [int(where.removeprefix("line ")) - int(first) for where, _ in found] == [0, 1, 2, 3]
    assert [row["id"] if isinstance(row, dict) else type(row).__name__ for _, row in found] == [
        "1",
        "DataError",
        "DataError",
        "4",
    ]


def test_printed_lists_are_lists() -> None:
    assert list_cell("['Q1', \"Q'2\"]") == ["Q1", "Q'2"]
    assert list_cell("['Q1' 'Q2'\n 'Q3']") == ["Q1", "Q2", "Q3"]
    assert list_cell("Bob\r\nRob|Robert") == ["Bob", "Rob", "Robert"]
    assert list_cell("[1]; [2]", ";") == ["[1]", "[2]"]


def test_cells_have_one_unicode_form() -> None:
    sent = unicodedata.normalize("NFD", "Huế|김구")
    assert list_cell(sent) == ["Huế", "김구"]
    assert text_cell(sent) == "Huế|김구"


def test_cells_that_a_spreadsheet_left_blank_beside_the_table_are_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id;name;;\n1;A;;\n2;B; ;\n")
    assert read_table(path)[:2] == (["id", "name"], [{"id": "1", "name": "A"}, {"id": "2", "name": "B"}])
    path.write_text("id;name;;\n1;A;;x\n")
    assert "expected 2 cells a row" in read_error(path)


@pytest.mark.parametrize("content", ['[{"id": 1},\n {"id": 2}]', '{"id": 1}\n{"id": 2}\n'])
def test_a_json_file_is_an_array_or_lines(tmp_path: Path, content: str) -> None:
    (tmp_path / "entities.json").write_text(content)
    assert read_table(tmp_path / "entities.json").rows == [{"id": 1}, {"id": 2}]


def test_a_packed_file_of_another_name_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.dat").write_bytes(b"PK\x03\x04")
    assert "an Excel or packed file" in read_error(tmp_path / "t.dat")
