"""No cell is a formula, and each has its text back."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dim.display.spreadsheet import spreadsheet_cell, spreadsheet_writer, text_of_cell

texts = st.text() | st.text("=+-@'\t\r\n1.e")


@given(texts)
def test_a_cell_has_its_text_back_and_begins_no_formula(text: str) -> None:
    cell = spreadsheet_cell(text)
    assert text_of_cell(cell) == text
    try:
        [float(part) for part in cell.split("|")]
    except ValueError:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("text", ["-0.5", "+3", "1e-5", "-1.5E+7", "-0.4|2.5|-1e-05", "Q42", "Ann's", "'Abd", ""])
def test_numbers_and_names_stay(text: str) -> None:
    assert spreadsheet_cell(text) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "-1+1", "+cmd", "@SUM(A1)", "\t=1", "\r=1", "＝1", "-", "--1", "-1|=1", "-1|", "-1|2|x"]
)
def test_what_begins_like_a_formula_does_not(text: str) -> None:
    assert spreadsheet_cell(text) == f"'{text}"


@given(st.lists(texts, min_size=2, max_size=4))
def test_a_row_is_read_as_it_was_written(row: list[str]) -> None:
    file = io.StringIO(newline="")
    spreadsheet_writer(file)(row)
    assert [text_of_cell(cell) for cell in next(csv.reader(io.StringIO(file.getvalue(), newline="")))] == row
