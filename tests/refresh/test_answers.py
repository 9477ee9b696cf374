from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dim.core.locks import folder_lock
from dim.errors import ConfigError, DataError
from dim.refresh.answers import Answer, AnswerLog

ANSWER = Answer(
    "Q1",
    "ok",
    "Ein Mann – groß.",
    "m",
    "m-1",
    "p",
    "r",
    {"seed": 0},
    7,
    2,
    True,
    None,
    "2026-01-01T00:00:00+00:00",
    0.1,
    1,
)


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path, "new")
    assert log.read() == ([], 0)
    other = replace(ANSWER, entity_id="Q2", status="timeout", failures=["timeout"])
    with log.open() as add:
        add(ANSWER)
        assert log.read() == ([ANSWER], 0)  # there before the file is closed
        add(other)
    assert log.read() == ([ANSWER, other], 0)


def test_a_lone_surrogate_does_not_break_the_record(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path, "new")
    with log.open() as add:
        add(replace(ANSWER, text="a\ud800b"))
    assert log.read()[0][0].text == "a?b"


@pytest.mark.parametrize("kept", range(1, 40, 6))
def test_a_torn_line_is_counted_and_swallows_no_other(tmp_path: Path, kept: int) -> None:
    log = AnswerLog(tmp_path, "new")
    with log.open() as add:
        add(ANSWER)
        add(ANSWER)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[: len(whole) // 2 + kept])
    assert log.read() == ([ANSWER], 1)
    with log.open() as add:
        add(replace(ANSWER, entity_id="Q3"))
    assert [answer.entity_id for answer in log.read()[0]] == ["Q1", "Q3"]


def test_a_whole_line_without_its_end_is_no_loss(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path, "new")
    with log.open() as add:
        add(ANSWER)
    log.path.write_bytes(log.path.read_bytes()[:-1])
    with log.open() as add:
        add(ANSWER)
    assert log.read() == ([ANSWER, ANSWER], 0)


def test_fields_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path, "new")
    with log.open() as add:
        add(ANSWER)
    log.path.write_text(log.path.read_text().replace('{"entity_id"', '{"colour": 1, "entity_id"') + "[]\n{}\n")
    assert log.read() == ([ANSWER], 2)


def test_two_refreshes_of_one_text_are_refused(tmp_path: Path) -> None:
    def second() -> None:
        with AnswerLog(tmp_path, "new").open():
            pass

    with AnswerLog(tmp_path, "new").open(), ThreadPoolExecutor(1) as other:
        with pytest.raises(ConfigError, match=r"nobody else writing .*new\.jsonl\nfound    dim refresh \(process"):
            other.submit(second).result()
        with folder_lock(tmp_path, "another text"):
            pass
        with (
            pytest.raises(ConfigError, match="nobody else writing in"),
            folder_lock(tmp_path, "dim prepare", whole=True),
        ):
            pass


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "answers" / "new.jsonl").mkdir(parents=True)
    with pytest.raises(DataError, match=r"a readable .*new\.jsonl"):
        AnswerLog(tmp_path, "new").read()
