"""What people see of answers: every id whole, at any width."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from dim.linker import Answer
from dim.linker.shown import NOT_THERE, plain_lines, show

TITLE = "Gregor_Bardini_(association_football_goalkeeper,_born_1893_in_Pellagio)"
TEXT = "Gregor Bardini keeps the goal of the Beacon Trust. " * 8
EVIDENCE = {"vectors": 0.63, "name": 0.41, "rest_in_context": 0.5, "log_rank": 2.0}
ANSWERS = [
    Answer("NIL", "NIL", None, 0.0, 0.233),
    Answer("Q4278200", "Gregor Bardini", TEXT, 3.1, 0.716, EVIDENCE),
    Answer(TITLE, "Gregor Bardini", TEXT, 3.1, 0.02, EVIDENCE),
    Answer(
        "王小明_(政治家)_生於一九六〇年的台北市大安區",
        "王小明",
        "王小明是一位政治家，生於台北。" * 9,
        2.0,
        0.01,
        EVIDENCE,
    ),
    Answer("Q17", "Ada [bold] [/red]", None, 1.0, 0.004),
]


def shown(answers: list[Answer], width: int) -> str:
    file = io.StringIO()
    show(answers, as_json=False, console=Console(file=file, width=width, force_terminal=True, color_system=None))
    return file.getvalue()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 160])
def test_each_id_is_whole_in_its_order_and_no_line_is_too_wide(width: int) -> None:
    text = shown(ANSWERS, width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    joined = re.sub(r"\s+", "", text)
    places = [joined.index(answer.id) for answer in ANSWERS]
    assert places == sorted(places)
    assert re.sub(r"\s+", "", NOT_THERE) in joined
    assert "Ada[bold][/red]" in joined
    for part in ("71.6%", "vectors=0.63", "rest_in_context=0.50"):
        assert part in joined
    assert "log_rank" not in joined


def test_at_80_columns_an_answer_reads_so() -> None:
    text = [line.rstrip() for line in shown(ANSWERS[:2], 80).splitlines()]
    assert text == [
        f"1  23.3%  NIL  {NOT_THERE}",
        "2  71.6%  Q4278200  Gregor Bardini",
        "          Gregor Bardini keeps the goal of the Beacon Trust. Gregor Bardini",
        "          keeps the goal of the Beacon Trust. Gregor Bardini keeps the goal of…",
        "          vectors=0.63  name=0.41  rest_in_context=0.50",
    ]


def test_scores_stand_where_there_are_no_probabilities_and_no_answer_is_said() -> None:
    assert "1  0.613  Q1  Ada" in shown([Answer("Q1", "Ada", None, 0.613, None)], 80)
    assert "no answer" in shown([], 80)


def test_a_pipe_gets_a_line_an_answer_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [Answer("Q1", "Ada\tLovelace", "Two\nlines " + "x" * 500, 1.0, None)]
    show(answers, as_json=False)
    assert (
        capsys.readouterr().out
        == "rank\tid\tname\tscore\ttext\n1\tQ1\tAda Lovelace\t1.0000\tTwo lines " + "x" * 500 + "\n"
    )
    assert plain_lines([]) == ["rank\tid\tname\tscore\ttext"]
    assert plain_lines([Answer("Q1", "Ada", None, 3.1, 0.716)]) == [
        "rank\tid\tname\tprobability\ttext", "1\tQ1\tAda\t0.7160\t"
    ]  # fmt: skip
