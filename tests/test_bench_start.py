from pathlib import Path

import pytest

from benchmarks import start
from benchmarks.start import ANSWER, LINES, TORCH, bench_start
from dim.errors import ConfigError, DimError

HERE = Path(__file__).resolve().parent.parent


@pytest.mark.long
def test_lines_are_started_in_turns_beside_those_of_another_checkout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("dim rank --help", "dim fit, a mistyped option")
    monkeypatch.setattr(start, "LINES", {name: LINES[name] for name in few})
    found = bench_start(checkout=HERE, num_entities=100, rounds=1)
    assert [each.line for each in found] == list(few)
    assert all(each.cost.cpu > 0 and each.before is not None and each.before.wall > 0 for each in found)
    shown = " ".join(capsys.readouterr().out.split())
    assert "from the shell to the end" in shown
    assert "medians of 1 turns" in shown


@pytest.mark.long
def test_every_line_ends_as_it_should() -> None:
    found = bench_start(num_entities=100, rounds=1)
    assert [each.line for each in found] == list(LINES)
    assert found[0].line == TORCH
    assert {each.line: each.before for each in found}[ANSWER] is None


def test_a_line_that_ends_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "LINES", {"dim rank, a missing option": (["-m", "dim", "rank"], 0)})
    with pytest.raises(DimError, match=r"to end with 0\nfound    exit 1\nto do    error: expected dim rank --run"):
        bench_start(num_entities=100, rounds=1)


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_entities and rounds from 1 up"):
        bench_start(rounds=0)
    with pytest.raises(ConfigError, match="a checkout of dim at"):
        bench_start(checkout=tmp_path)
