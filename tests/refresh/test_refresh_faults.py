import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from llm_servers import DRIP, ESCAPED, KEY, FaultyServer, completion, environment_of
from refreshing import (
    NAMES,
    VARIANT,
    answers,
    kind_answer,
    name_of,
    num_answers,
    paced_by_a_moved_clock,
    run,
    spoken,
)
from waiting import HANG, ending, wait_until

from dim.data.dataset import Dataset
from dim.errors import ConfigError
from dim.refresh.client import Endpoint
from dim.refresh.prompt import Prompt

SORRY = "I’m sorry, but I can’t provide information about this person."
#: Entity → what the server does on each try (the last for ever), the status at the end, the requests it costs.
FAULTS: dict[str, tuple[list[Any], str, int]] = {
    "Bob": ([(429, {"Retry-After": "1"}, {"error": {"message": "slow down"}}), "ok"], "ok", 2),
    "Cyd": ([(500, {}, b"oops"), (503, {}, b""), "ok"], "ok", 3),
    "Dan": ([None, "ok"], "ok", 2),
    "Eve": (["hang"], "timeout", 3),
    "Fay": ([(200, {}, completion("  "))], "empty", 1),
    "Gus": ([(200, {}, completion("A tall person wh", "length"))], "truncated", 1),
    "Hal": ([(200, {}, completion(SORRY))], "refused", 1),
    "Ivy": ([(200, {}, completion(None, refusal="I will not."))], "refused", 1),
    "Jon": ([(200, {}, completion("A tall", "content_filter"))], "refused", 1),
    "Kay": ([(200, {}, b'{"choices": [{"mess')], "malformed", 1),
    "Leo": ([(200, {}, {"choices": []})], "malformed", 1),
    "Max": ([(400, {}, {"error": {"message": "too long"}})], "rejected", 1),
    "Ned": ([(400, {}, {"error": {"code": "content_filter", "message": "no"}})], "refused", 1),
    "Oli": ([None], "unreachable", 3),
    "Pia": ([(502, {}, b"<html>")], "server_error", 3),
}


class GivingUp(Endpoint):
    """Gives up when the test says so, and never by the clock."""

    tries: ClassVar[dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Timeout]]] = {}

    def patience(self, prompt: Prompt) -> asyncio.Timeout:
        timeout = asyncio.timeout(None)
        self.tries[name_of(prompt.user.partition("\n")[0])] = asyncio.get_running_loop(), timeout
        return timeout

    @classmethod
    def give_up(cls, name: str) -> None:
        """Ends the try that waits for an answer about `name`; may be called from any thread."""
        loop, timeout = cls.tries[name]
        loop.call_soon_threadsafe(timeout.reschedule, 0)


def test_every_fault_is_retried_or_recorded_and_never_becomes_text(
    data: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced_by_a_moved_clock(monkeypatch)
    monkeypatch.setattr("dim.refresh.chat_server.Endpoint", GivingUp)

    def script(number: int, question: str, body: Any) -> Any:
        steps = FAULTS.get(name_of(question), (["ok"], "", 0))[0]
        step = steps[min(number, len(steps) - 1)]
        if step == "hang":
            GivingUp.give_up(name_of(question))
            server.leave.wait(HANG)
        return kind_answer(number, question, body) if step in ("ok", "hang") else step

    with FaultyServer(script) as server:
        dataset = run(data, server, retries=2, concurrency=4)
    by_id = {line["entity_id"]: line for line in answers(data)}
    found = {name: by_id[f"Q{n}"]["status"] for n, name in enumerate(NAMES)}
    assert found == {"Ada": "ok"} | {name: status for name, (_, status, _) in FAULTS.items()}
    seen = Counter(map(name_of, server.names()))
    assert seen == {"Ada": 1} | {name: requests for name, (_, _, requests) in FAULTS.items()}
    assert {name: by_id[f"Q{n}"]["tries"] for n, name in enumerate(NAMES)} == dict(seen)
    assert by_id["Q1"]["failures"] == ["rate_limited"]
    assert by_id["Q2"]["failures"] == ["server_error", "server_error"]
    assert by_id["Q4"]["failures"] == ["timeout", "timeout"]
    assert not by_id["Q4"]["tokens_reported"]  # what a time-out cost is not known
    assert by_id["Q4"]["tokens_out"] == 3 * 160
    texts = dataset.texts(VARIANT)
    assert texts[texts.notna()].index.tolist() == ["Q0", "Q1", "Q2", "Q3"]
    said = spoken(capsys)
    assert (
        "4 ok, 1 empty, 2 malformed, 4 refused, 1 rejected, 1 server_error, 1 timeout, 1 truncated, 1 unreachable"
        in said
    )
    assert "4 texts; 12 entities have none" in said
    assert "left 3 entities, for which the server failed each try; the same command asks again" in " ".join(
        said.split()
    )
    assert sorted(re.findall(r"e\.g\. Q\d+: (\w+),", said)) == sorted(set(found.values()) - {"ok"})  # one of each kind

    with FaultyServer(kind_answer) as server:
        dataset = run(data, server)
    assert sorted(map(name_of, server.names())) == sorted(NAMES[4:])  # only what failed is asked again
    assert dataset.texts(VARIANT).notna().all()


def test_an_answer_that_drips_for_ever_is_a_time_out(data: Path) -> None:
    named = pytest.raises(ConfigError, match=r"none in 1 tries; the last: timeout, no answer in 0\.05 s")
    with FaultyServer(lambda *_: DRIP) as server, named:
        run(data, server, timeout_s=0.05, retries=0)
    assert [line["status"] for line in answers(data)] == ["timeout"]


@pytest.mark.parametrize("length", range(180, 206, 5))
def test_no_part_of_the_key_is_kept_of_words_that_are_cut(data: Path, length: int) -> None:
    words = json.dumps({"error": "x" * length + KEY}).encode()

    def script(number: int, question: str, body: Any) -> Any:
        if name_of(question) == "Bob":
            return 200, {"Content-Type": "text/event-stream"}, b"data: " + words + b"\n\n"
        return (400, {}, words) if name_of(question) == "Cyd" else kind_answer(number, question, body)

    with FaultyServer(script) as server:
        run(data, server, limit=3, retries=0)
    told = {line["entity_id"]: line["detail"] for line in answers(data)}
    assert all("x" * 180 in told[entity_id] for entity_id in ("Q1", "Q2"))
    assert KEY[:4] not in str(told)


@pytest.mark.parametrize("models", [[], [{"id": 7}, 7, None], 7, None])
def test_whatever_a_server_lists_as_models_stops_nothing(data: Path, models: Any) -> None:
    with FaultyServer(kind_answer, models=models) as server:
        assert run(data, server).texts(VARIANT).notna().all()


def test_retry_after_holds_every_request(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = paced_by_a_moved_clock(monkeypatch)

    def script(number: int, question: str, body: Any) -> Any:
        if name_of(question) == "Cyd" and number == 0:
            return 429, {"Retry-After": "40"}, {"error": {"message": "slow down"}}
        return kind_answer(number, question, body)

    with FaultyServer(script, lambda: moved.now) as server:
        run(data, server, concurrency=1)
    assert [time for time, _, _, _ in server.requests] == [0] * 3 + [40] * 14


def test_a_wait_longer_than_a_run_should_take_stops_also_who_waits_for_a_turn_or_for_tokens(
    data: Path, capsys: Any
) -> None:
    def script(number: int, question: str, body: Any) -> Any:
        if len(server.requests) == 1:
            return kind_answer(number, question, body)
        return 429, {"Retry-After": "3600"}, {"error": {"message": "tomorrow"}}

    rate = {"concurrency": 3, "requests_per_minute": 200}  # the third finds no tokens left while the second has no turn
    with FaultyServer(script) as server, ending(60):
        run(data, server, max_tokens=1000, max_total_tokens=2900, **rate)
    assert len(server.requests) == 2
    assert "the server asks to wait for 3,600 s. 15 entities are left" in spoken(capsys)


def test_a_wait_longer_than_a_run_should_take_stops_it(data: Path, capsys: Any) -> None:
    with FaultyServer(lambda *_: (429, {"Retry-After": "3600"}, {"error": {"message": "tomorrow"}})) as server:
        run(data, server)
    assert len(server.requests) == 1
    assert "the server asks to wait for 3,600 s. 16 entities are left" in spoken(capsys)


@pytest.mark.parametrize(
    ("code", "body", "message"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "Check the key in OPENAI_API_KEY"),
        (403, {"error": {"message": "forbidden"}}, "may use the model 'tiny'"),
        (404, {"detail": "Not Found"}, "Check the URL .OPENAI_BASE_URL or base_url; it mostly ends in /v1"),
        (429, {"error": {"code": "insufficient_quota", "message": "pay"}}, "Check the account's credit"),
    ],
)
def test_a_server_that_answers_nobody_costs_one_request(data: Path, code: int, body: Any, message: str) -> None:
    with FaultyServer(lambda *_: (code, {}, body)) as server, pytest.raises(ConfigError, match=message) as caught:
        run(data, server)
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)
    assert not (data / "texts" / f"{VARIANT}.parquet").exists()


def test_ten_failures_of_the_server_in_a_row_end_the_run(data: Path) -> None:
    def script(number: int, question: str, body: Any) -> Any:
        return kind_answer(number, question, body) if name_of(question) == "Ada" else (500, {}, b"")

    with FaultyServer(script) as server, pytest.raises(ConfigError, match="none in 10 questions"):
        run(data, server, concurrency=1, retries=1)
    assert len(server.requests) == 21
    assert len(answers(data)) == 11


@pytest.mark.parametrize(
    ("code", "body", "requests"),
    [(500, b"cannot load model", 3), (400, b'{"detail": "Server is pinned to other"}', 1)],
)
def test_what_the_first_entity_cannot_get_stops_the_run_and_names_the_models(
    data: Path, code: int, body: bytes, requests: int
) -> None:
    with FaultyServer(lambda *_: (code, {}, body), models=[{"id": "other"}, {"id": "third"}]) as server:
        with pytest.raises(ConfigError, match=f"HTTP {code}: (cannot load|Server is pinned)") as caught:
            run(data, server, retries=2)
        assert "the model 'tiny' (not among those that the server lists: other, third)" in caught.value.remedy
        assert len(server.requests) == requests


def test_a_question_that_fails_for_ever_keeps_no_later_run_from_the_others(data: Path) -> None:
    def script(number: int, question: str, body: Any) -> Any:
        return (400, {}, {"detail": "no"}) if name_of(question) == "Ada" else kind_answer(number, question, body)

    with FaultyServer(script) as server:
        with pytest.raises(ConfigError, match="the last: rejected, HTTP 400: no"):
            run(data, server)
        dataset = run(data, server)
    assert dataset.texts(VARIANT).notna().sum() == 15


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "The model is too large."}, "HTTP 400: The model is too large."),
        ({"detail": [{"loc": ["body"], "msg": "Field required"}]}, "HTTP 400: Field required"),
        (b"plain words\n  in lines", "HTTP 400: plain words in lines"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Not permitted"}]}, "HTTP 400: seed: Not permitted"),
        (f"a key {KEY}".encode(), "HTTP 400: a key [key]"),
        (f'{{"detail": "a key {ESCAPED}"}}'.encode(), "HTTP 400: a key [key]"),
        (b"long " * 100, f"HTTP 400: {'long ' * 40}\u2026"),
        (b"", "HTTP 400"),
    ],
)
def test_a_servers_own_words_are_shown_in_a_line(data: Path, body: Any, words: str, capsys: Any) -> None:
    def script(number: int, question: str, asked: Any) -> Any:
        return (400, {}, body) if name_of(question) == "Bob" else kind_answer(number, question, asked)

    with FaultyServer(script) as server:
        run(data, server)
    assert {line["entity_id"]: line["detail"] for line in answers(data)}["Q1"] == words
    assert f"e.g. Q1: rejected, {words}" in spoken(capsys)


def test_a_server_that_is_not_there_is_named(data: Path) -> None:
    with FaultyServer(kind_answer) as server:
        pass
    with pytest.raises(ConfigError, match=r"none in 2 tries; the last: unreachable(.|\n)*Check that the server runs"):
        run(data, server, retries=1)
    assert answers(data)[0]["tokens_in"] == 0


def test_ctrl_c_keeps_and_uses_what_came(data: Path, capsys: Any) -> None:
    def script(number: int, question: str, body: Any) -> Any:
        if name_of(question) == "Fay":
            os.kill(os.getpid(), signal.SIGINT)
            server.leave.wait(HANG)
        return kind_answer(number, question, body)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with FaultyServer(script) as server, pytest.raises(KeyboardInterrupt):
            run(data, server, concurrency=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert Dataset(data).texts(VARIANT).notna().sum() == 5
    assert "1 cut off in flight" in spoken(capsys)


@pytest.mark.parametrize(
    ("number", "ignores_ctrl_c"),
    [
        (signal.SIGTERM, True),
        pytest.param(signal.SIGTERM, False, marks=pytest.mark.long),
        pytest.param(signal.SIGINT, False, marks=pytest.mark.long),  # in this process: the test before
    ],
)
def test_sigterm_ends_a_refresh_as_ctrl_c_does(data: Path, number: int, ignores_ctrl_c: bool) -> None:
    def stalls(number: int, question: str, body: Any) -> Any:
        if name_of(question) == "Fay":
            server.leave.wait(HANG)
        return kind_answer(number, question, body)

    with FaultyServer(stalls) as server:
        command = [sys.executable, "-m", "dim", "refresh", str(data), "--concurrency", "1", "--timeout_s", "1000"]
        child = subprocess.Popen(
            command,
            env=environment_of(server.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignores_ctrl_c else None,
        )
        wait_until(lambda: 'Who or what is "Fay"?' in server.names() or child.poll() is not None)
        child.send_signal(number)
        said, errors = child.communicate(timeout=HANG)
    assert child.returncode == 128 + number
    assert "the answers that came are kept; the same command asks for the rest" in errors
    assert "sent      6 requests, 200 tokens in, 60 out; 1 cut off in flight" in said
    assert "5 ok, 11 not asked" in said
    assert Dataset(data).texts(VARIANT).notna().sum() == 5


def test_calls_that_wait_for_their_turn_are_not_counted_as_sent(
    data: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced_by_a_moved_clock(monkeypatch, lambda: 1.0)  # it stands before the turn of the fourth call

    def script(number: int, question: str, body: Any) -> Any:
        if name_of(question) == "Cyd":
            wait_until(lambda: num_answers(data) == 2)
            os.kill(os.getpid(), signal.SIGINT)
            server.leave.wait(HANG)
        return kind_answer(number, question, body)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with FaultyServer(script) as server, pytest.raises(KeyboardInterrupt):
            run(data, server, concurrency=8, requests_per_minute=120)
    finally:
        signal.signal(signal.SIGINT, before)
    said = spoken(capsys)
    assert "sent 3 requests" in said
    assert len(server.requests) == 3
    assert "1 cut off in flight" in said


def test_nobody_goes_on_asking_a_server_that_wants_an_hour(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fourth call's turn comes when the third one's answer is known.
    moved = paced_by_a_moved_clock(monkeypatch, lambda: math.inf if num_answers(data) == 3 else 0.4)

    def script(number: int, question: str, body: Any) -> Any:
        if name_of(question) in ("Ada", "Bob"):
            return kind_answer(number, question, body)
        return 429, {"Retry-After": "3600"}, {"error": {"message": "tomorrow"}}

    with FaultyServer(script) as server:
        run(data, server, concurrency=8, requests_per_minute=300)
    assert len(server.requests) == 3
    assert moved.now > 0.4  # others had their turn


def test_a_torn_last_line_costs_one_answer(data: Path, capsys: Any) -> None:
    with FaultyServer(kind_answer) as server:
        run(data, server, concurrency=1)
        log = data / "answers" / f"{VARIANT}.jsonl"
        log.write_bytes(log.read_bytes()[:-30])
        dataset = run(data, server)
    assert len(server.requests) == 17
    assert "1 line(s) of the record were torn by a kill" in spoken(capsys)
    assert dataset.texts(VARIANT).notna().all()
