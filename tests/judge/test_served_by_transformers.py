"""A judge behind a real OpenAI-compatible server on loopback: `transformers serve` with a tiny model."""

import re

import pytest
from llm_servers import set_environment, transformers_serve, write_tiny_model

from dim.judge.contract import Candidate, Case, counted
from dim.judge.question import JudgeTemplate
from dim.judge.server import ServerJudge
from dim.refresh.answers import AnswerLog


@pytest.mark.long
def test_its_answers_are_counted_with_their_tokens_and_asked_for_once(tmp_path, monkeypatch):
    set_environment(monkeypatch)
    shown = tuple(Candidate(f"Q{place}", f"Ada {place}", "a woman") for place in range(3))
    cases = [Case(f"m{number}", "Ada", f"Ada spoke in town {number}.", shown) for number in range(6)]
    words = re.findall(r"\w+|[^\w\s]", f"{JudgeTemplate().source} Ada spoke in town a woman A B C D 0 1 2 3 4 5")
    model, log = write_tiny_model(tmp_path / "tiny", words), tmp_path / "serve.log"
    with transformers_serve(model, log) as url:
        judge = ServerJudge(str(model), base_url=url, max_tokens=8)
        found = judge.decide(cases, tmp_path)
        again = ServerJudge(str(model), base_url=url, max_tokens=8).decide(cases, tmp_path)
    answers, _ = AnswerLog(tmp_path, "judge-tiny").read()
    assert {answer.entity_id for answer in answers} == {case.key for case in cases}
    assert all(answer.tokens_reported and answer.tokens_in > 0 for answer in answers)
    assert sum(counted(found).values()) == 6
    finished = [place for place, verdict in enumerate(found) if verdict.status in ("ok", "malformed")]
    assert finished
    assert [again[place].status for place in finished] == [found[place].status for place in finished]
    assert log.read_text().count("POST /v1/chat/completions") <= 6 + (6 - len(finished))
