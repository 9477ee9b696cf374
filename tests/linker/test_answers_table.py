"""Answers as a notebook shows them."""

from html.parser import HTMLParser

import pytest

from dim.linker.answer import Answer
from dim.linker.answers import Answers


class Cells(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self.cells += [""] * (tag in {"td", "th"})

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data.strip("\n")


def test_a_table_has_a_row_an_answer_and_nothing_that_a_name_makes() -> None:
    hostile = "<script>alert(1)</script> \x1b[2J\u202e"
    answers = Answers([Answer("Q1", hostile, "a poet " * 100, 1.5, 0.75), Answer("NIL", "", None, 0.1, 0.25)])
    found = Cells(answers._repr_html_())
    assert found.tags == {"table", "tr", "th", "td"}
    assert found.cells[:5] == ["", "id", "name", "probability", "text"]
    assert found.cells[5:9] == ["1", "Q1", r"<script>alert(1)</script> \x1b[2J\u202e", "0.750"]
    assert found.cells[9].startswith("a poet a poet")
    assert found.cells[9].endswith(" …")
    assert len(found.cells[9]) < 210
    assert found.cells[10:] == ["2", "NIL", "", "0.250", ""]


@pytest.mark.parametrize("probability", [None, 0.5])
def test_a_frame_has_the_evidence_in_columns_of_its_own(probability: float | None) -> None:
    answers = Answers([Answer("Q1", "Ada", None, 1.5, probability, {"vectors": 0.5, "name": 1.0}, ["a.png"])])
    frame = answers.to_frame()
    plain = ["id", "name", "text", "score", "probability", "images"]
    assert frame.columns.tolist() == [*plain, "evidence.vectors", "evidence.name"]
    assert frame.loc[0, ["name", "evidence.vectors", "evidence.name"]].tolist() == ["Ada", 0.5, 1.0]
    assert ("score" in Cells(answers._repr_html_()).cells) == (probability is None)
    assert Answers().to_frame().empty
