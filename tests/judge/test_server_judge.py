"""A judge behind a server on loopback: asked within a budget, recorded, resumed, never guessed at."""

import json
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from llm_servers import KEY, FaultyServer, completion, image_of, question_of, set_environment
from PIL import Image

from dim.errors import ConfigError
from dim.judge.contract import Candidate, Case, counted
from dim.judge.server import ServerJudge
from dim.refresh.answers import AnswerLog


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    set_environment(monkeypatch)


def case(number, size=3, image=None):
    shown = tuple(
        Candidate(f"Q{place}", f"Ada {place}", f"a woman of the year {1800 + place}") for place in range(size)
    )
    return Case(f"mention-{number}", "Ada", f"Ada spoke in the town of number {number}.", shown, image)


def letter_of(body, name):
    """The letter of the candidate of a name in a question."""
    return re.search(rf"^([A-Z])\) {name}", question_of(body), re.MULTILINE)[1]


def right(_number, _name, body):
    return 200, {}, completion(letter_of(body, "Ada 0"), usage=(50, 1))


def judge_at(server, **options):
    return ServerJudge("tiny", base_url=server.url, **{"concurrency": 2, "backoff_s": 0.0, **options})


def test_a_chosen_letter_is_the_candidate_that_stood_there_and_every_answer_is_recorded(tmp_path):
    cases = [case(number) for number in range(8)]
    with FaultyServer(right) as server:
        found = judge_at(server, price_in=1.0, price_out=2.0).decide(cases, tmp_path)
    assert [verdict.chosen for verdict in found] == [0] * 8
    assert all(np.exp([*verdict.scores, verdict.none]).sum() == pytest.approx(1) for verdict in found)
    assert sum(verdict.tokens_in for verdict in found) == 8 * 50
    assert sum(verdict.cost for verdict in found) == pytest.approx(8 * (50 + 2) / 1e6)
    answers, _ = AnswerLog(tmp_path, "judge-tiny").read()
    assert sorted(answer.entity_id for answer in answers) == sorted(each.key for each in cases)
    assert {answer.status for answer in answers} == {"ok"}
    assert KEY not in (tmp_path / "answers" / "judge-tiny.jsonl").read_text()


def test_the_place_of_a_candidate_tells_nothing():
    with FaultyServer(lambda *_: (200, {}, completion("A"))) as server:
        found = judge_at(server, concurrency=8).decide([case(number) for number in range(150)])
    counts = Counter(verdict.chosen for verdict in found)
    assert set(counts) == {0, 1, 2}
    assert min(counts.values()) > 30


def test_an_answer_that_names_no_letter_is_counted_and_neither_guessed_at_nor_asked_again(tmp_path):
    said = iter(["I think it is Ada.", "A or B", "Z", "D", "Ada 1"])
    asked = []

    def script(_number, name, body):
        asked.append(name)
        return 200, {}, completion(next(said))

    cases = [case(number) for number in range(5)]
    with FaultyServer(script) as server:
        judge = judge_at(server, concurrency=1)
        found = judge.decide(cases, tmp_path)
        again = judge_at(server, concurrency=1).decide(cases, tmp_path)
    assert [verdict.status for verdict in found] == ["malformed"] * 3 + ["ok"] * 2
    assert counted(found) == {"malformed": 3, "none of them": 1, "a candidate": 1}
    assert [verdict.chosen for verdict in found[3:]] == [-1, 1]
    assert len(asked) == 5
    assert [verdict.status for verdict in again] == [verdict.status for verdict in found]
    assert [verdict.tokens_in for verdict in again] == [verdict.tokens_in for verdict in found]


def test_an_answer_about_other_candidates_or_texts_is_not_taken_for_one(tmp_path):
    one = case(0)
    texts = replace(one, candidates=tuple(replace(each, text="a man") for each in one.candidates))
    others = replace(one, candidates=case(0, size=4).candidates)
    with FaultyServer(right) as server:
        for each in (one, texts, others, one.with_others_texts(), one):
            assert judge_at(server).decide([each], tmp_path)[0].chosen == 0
    assert len(server.requests) == 4


def test_a_budget_ends_it_before_the_next_call_and_the_same_command_asks_for_the_rest(tmp_path, caplog):
    cases = [case(number) for number in range(6)]
    with FaultyServer(right) as server:
        first = judge_at(server, concurrency=1, max_requests=4).decide(cases, tmp_path)
        assert counted(first) == {"a candidate": 4, "not asked": 2}
        assert [verdict.status for verdict in first[4:]] == ["not asked"] * 2  # what matters most goes first
        assert "stopped before the next call: max_requests 4" in caplog.text
        second = judge_at(server, concurrency=1).decide(cases, tmp_path)
    assert counted(second) == {"a candidate": 6}
    assert len(server.requests) == 6


def test_a_budget_is_for_all_that_a_judge_is_asked():
    with FaultyServer(right) as server:
        judge = judge_at(server, concurrency=2, max_requests=3)
        assert counted(judge.decide([case(0), case(1)])) == {"a candidate": 2}
        assert counted(judge.decide([case(2), case(3)])) == {"a candidate": 1, "not asked": 1}


def test_failures_are_asked_for_again_by_the_next_call(tmp_path):
    def script(number, name, body):
        return (
            (200, {}, completion("", "content_filter")) if "1" in name and not server.is_well else right(0, name, body)
        )

    def named(number):
        made = case(number)
        return Case(made.key, f"Ada {number}", made.context, made.candidates)

    cases = [named(number) for number in range(3)]
    with FaultyServer(script) as server:
        server.is_well = False
        assert counted(judge_at(server).decide(cases, tmp_path)) == {"a candidate": 2, "refused": 1}
        server.is_well = True
        assert counted(judge_at(server).decide(cases, tmp_path)) == {"a candidate": 3}
    assert len(server.requests) == 4


def test_what_another_template_was_answered_does_not_tell_that_this_one_is(tmp_path):
    (tmp_path / "mine.txt").write_text("{{ mention }} {{ context }} {{ options }} {{ none }}")
    with FaultyServer(right) as server:
        judge_at(server).decide([case(0)], tmp_path)
    with (
        FaultyServer(lambda *_: (400, {}, {"error": {"message": "no system message"}})) as server,
        pytest.raises(ConfigError, match="no system message"),
    ):
        judge_at(server, template=tmp_path / "mine.txt").decide([case(n) for n in range(5)], tmp_path)
    assert len(server.requests) == 1


def test_what_is_asked_twice_is_paid_once(tmp_path):
    with FaultyServer(right) as server:
        found = judge_at(server, concurrency=1).decide([case(0), case(0)], tmp_path)
    assert [verdict.chosen for verdict in found] == [0, 0]
    assert len(server.requests) == 1


def with_logprobs(text, shares):
    body = completion(text)
    top = [{"token": letter, "logprob": math.log(share)} for letter, share in shares.items()]
    token = {"token": text, "logprob": math.log(shares[text]), "top_logprobs": top}
    body["choices"][0]["logprobs"] = {"content": [token]}
    return body


def test_log_probabilities_of_the_letters_are_the_verdict_where_the_server_gives_them(tmp_path):
    def script(_number, _name, body):
        assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
        letters = {name: letter_of(body, f"Ada {name}") for name in range(3)}
        shares = {letters[0]: 0.5, letters[1]: 0.3, " the": 0.1, "D": 0.05}
        return 200, {}, with_logprobs(letters[0], shares)

    with FaultyServer(script) as server:
        for _ in range(2):  # from the server, and from the record
            [found] = judge_at(server).decide([case(0)], tmp_path)
            # The last candidate's letter is not among the alternatives: it counts as what is left beside them.
            expected = np.array([0.5, 0.3, 0.05]) / 0.9
            assert np.exp(found.scores) == pytest.approx(expected, rel=1e-6)
            assert math.exp(found.none) == pytest.approx(0.05 / 0.9)
    assert len(server.requests) == 1


def test_streamed_log_probabilities_count_as_well():
    def script(_number, _name, body):
        letter = letter_of(body, "Ada 2")
        token = {"token": letter, "logprob": math.log(0.8), "top_logprobs": []}
        delta = {"index": 0, "delta": {"content": letter}, "logprobs": {"content": [token]}, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        events = [{"model": "tiny", "choices": [each]} for each in (delta, last)]
        raw = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        return 200, {"Content-Type": "text/event-stream"}, raw.encode()

    with FaultyServer(script) as server:
        [found] = judge_at(server).decide([case(0)])
    assert found.chosen == 2
    assert math.exp(found.scores[2]) == pytest.approx(0.8 / 1.4)  # three others of 0.2 at most each


def test_a_server_that_refuses_log_probabilities_is_asked_without():
    def script(number, name, body):
        if "logprobs" in body:
            return 400, {}, {"error": {"message": "logprobs is not supported"}}
        return right(number, name, body)

    with FaultyServer(script) as server:
        found = judge_at(server).decide([case(number) for number in range(3)])
    assert counted(found) == {"a candidate": 3}
    assert sum("logprobs" in body for _, _, body, _ in server.requests) <= 3


def test_the_image_goes_along_where_the_judge_sees_images():
    image = Image.new("RGB", (900, 300), (200, 10, 10))
    seen = []

    def script(number, name, body):
        seen.append(image_of(body))
        return right(number, name, body)

    with FaultyServer(script) as server:
        [found] = judge_at(server, sees_images=True, image_side=100).decide([case(0, image=image)])
    assert found.chosen == 0
    assert seen[0].size == (100, 33)
    assert "to which the image belongs" in question_of(server.requests[0][2])


def test_a_server_that_answers_nobody_stops_it(tmp_path):
    with FaultyServer(lambda *_: (401, {}, {"error": {"message": "no"}})) as server, pytest.raises(ConfigError) as told:
        judge_at(server).decide([case(0), case(1)], tmp_path)
    assert "Check the key in OPENAI_API_KEY" in str(told.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"logprobs": 21}, "logprobs between 0 and 20"), ({"image_side": 0}, "an image_side of at least 1")],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        ServerJudge("tiny", **options)


def test_a_template_of_ones_own_asks_as_it_says(tmp_path):
    template = tmp_path / "mine.txt"
    template.write_text(
        "Who is {{ mention }}?\n{% for each in options %}{{ each.letter }}) {{ each.name }}\n{% endfor %}"
    )
    with FaultyServer(right) as server:
        [found] = judge_at(server, template=template).decide([case(0)])
        assert found.chosen == 0
        assert question_of(server.requests[0][2]).startswith("Who is Ada?")
    template.write_text("{{ gold }}")
    with pytest.raises(ConfigError, match="a template of the fields mention, context, options, none, has_image"):
        ServerJudge("tiny", template=template).decide([case(0)])


def test_what_changes_an_answer_changes_the_fingerprint_and_the_rest_does_not(tmp_path):
    plain = ServerJudge("tiny").fingerprint
    assert plain == ServerJudge("tiny", base_url="http://localhost:1/v1", concurrency=1, max_cost=None).fingerprint
    (tmp_path / "mine.txt").write_text("{{ mention }} {{ none }}")
    others = {"temperature": 1.0}, {"sees_images": True}, {"template": tmp_path / "mine.txt"}, {"seed": 3}
    assert len({plain, *(ServerJudge("tiny", **each).fingerprint for each in others)}) == 5
