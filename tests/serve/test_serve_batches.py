"""Questions of many requests are answered together, within bounds, and none spoils the others."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from demo_run import demo_run, linker_of, questions_of
from serving import QUESTION, Held, Running, running
from waiting import HANG, wait_until

from dim.linker import Linker


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def linker(run: Path) -> Linker:
    return linker_of(run)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def ask(server: Running, path: str = "/link", **options: Any) -> httpx.Response:
    options = options or {"json": QUESTION}
    return server.client.post(path, **options)


def hold_first(server: Running, held: Held, pool: ThreadPoolExecutor) -> Any:
    """A request that the linker is busy with."""
    first = pool.submit(ask, server)
    wait_until(lambda: len(held.batches) == 1)
    return first


def test_what_waits_is_answered_in_one_batch_each_as_alone(linker: Linker, run: Path, pool: ThreadPoolExecutor) -> None:
    chosen = (questions_of(run) * 3)[:40]
    alone = [linker.link(each.mention, each.context, top_k=1 + place % 4) for place, each in enumerate(chosen)]
    with running(linker, batch_size=64) as server, Held(linker) as held:
        first = hold_first(server, held, pool)
        waiting = [
            pool.submit(ask, server, json={"mention": each.mention, "context": each.context, "top_k": 1 + place % 4})
            for place, each in enumerate(chosen)
        ]
        wait_until(lambda: server.batcher.accepted == 41)
        held.go.set()
        assert first.result().status_code == 200
        for answer, expected in zip(waiting, alone, strict=True):
            assert [each["id"] for each in answer.result().json()["answers"]] == [each.id for each in expected]
        assert [len(batch) for batch in held.batches] == [1, 40]
        assert server.count("dim_batch_questions_count") == 2
        assert server.count("dim_batch_questions_sum") == server.count("dim_questions_total") == 41


def test_a_batch_is_never_larger_than_allowed(linker: Linker, pool: ThreadPoolExecutor) -> None:
    with running(linker, batch_size=4) as server, Held(linker) as held:
        held.go.set()
        asked = {"questions": [QUESTION] * 10}
        assert len(ask(server, "/link/batch", json=asked).json()["results"]) == 10
        assert [len(batch) for batch in held.batches] == [4, 4, 2]


def test_a_batch_waits_for_company_where_the_settings_say_so(linker: Linker, pool: ThreadPoolExecutor) -> None:
    an_hour = 3_600_000
    with running(linker, batch_wait_ms=an_hour, batch_size=5, timeout_s=HANG) as server, Held(linker) as held:
        held.go.set()
        answers = [pool.submit(ask, server) for _ in range(4)]
        wait_until(lambda: server.batcher.accepted == 4)
        assert held.batches == []
        answers.append(pool.submit(ask, server))  # the fifth makes it full, and it goes at once
        assert {answer.result().status_code for answer in answers} == {200}
        assert [len(batch) for batch in held.batches] == [5]


def test_a_batch_without_company_goes_when_it_has_waited(linker: Linker) -> None:
    with running(linker, batch_wait_ms=1) as server:
        assert [ask(server).status_code for _ in range(2)] == [200, 200]


def test_beyond_the_queue_is_503_and_the_accepted_are_answered(linker: Linker, pool: ThreadPoolExecutor) -> None:
    with running(linker, queue_size=8, max_batch=8) as server, Held(linker) as held:
        accepted = [hold_first(server, held, pool)] + [pool.submit(ask, server) for _ in range(6)]
        wait_until(lambda: server.batcher.accepted == 7)
        refused = ask(server, "/link/batch", json={"questions": [QUESTION] * 2})
        assert (refused.status_code, refused.json()["error"]["found"]) == (503, "7 wait already, and 2 came")
        accepted.append(pool.submit(ask, server))
        wait_until(lambda: server.batcher.accepted == 8)
        for _ in range(4):
            refused = ask(server)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["error"]["expected"] == "at most 8 questions at once"
        assert server.client.get("/ready").status_code == 200
        held.go.set()
        assert {answer.result().status_code for answer in accepted} == {200}
        assert server.count("dim_rejected_total", reason="full") == 6
        assert server.still_answers()


def test_one_bad_question_has_its_error_and_the_others_their_answers(linker: Linker, pool: ThreadPoolExecutor) -> None:
    with running(linker) as server, Held(linker) as held:
        first = hold_first(server, held, pool)
        good = [pool.submit(ask, server) for _ in range(9)]
        bad = pool.submit(ask, server, json={"mention": "a", "candidates": ["Q0"]})
        wait_until(lambda: server.batcher.accepted == 11)
        held.go.set()
        assert bad.result().status_code == 422
        assert bad.result().json()["error"]["found"] == "'Q0'"
        assert {answer.result().status_code for answer in [first, *good]} == {200}


def test_a_surprise_is_500_with_an_id_that_stands_in_the_log(
    linker: Linker, pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    answer = linker.link_batch

    def failing(questions: Any, top_k: int = 5) -> Any:
        if any(question.mention == "boom" for question in questions):
            raise RuntimeError("the secret of the house")
        return answer(questions, top_k)

    with running(linker) as server, caplog.at_level(logging.ERROR), Held(linker) as held:
        held._answer = failing
        first = hold_first(server, held, pool)
        good, bad = pool.submit(ask, server), pool.submit(ask, server, json={"mention": "boom"})
        wait_until(lambda: server.batcher.accepted == 3)
        held.go.set()
        assert {first.result().status_code, good.result().status_code} == {200}
        error = bad.result().json()["error"]
        assert bad.result().status_code == 500
        assert "secret" not in bad.result().text
        error_id = error["remedy"].split()[-4]
        assert any(error_id in record.getMessage() for record in caplog.records)
        assert "the secret of the house" in caplog.text
        assert server.still_answers()


def test_who_left_is_not_computed(linker: Linker, pool: ThreadPoolExecutor) -> None:
    with running(linker) as server, Held(linker) as held:
        first = hold_first(server, held, pool)
        body = b'{"mention":"nobody waits for this"}'
        head = (
            f"POST /link HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", server.port)) as left:
            left.sendall(head.encode() + body)
            wait_until(lambda: server.batcher.accepted == 2)
        wait_until(lambda: server.batcher.accepted == 1)
        held.go.set()
        assert first.result().status_code == 200
        assert server.still_answers()
        assert [batch for batch in held.batches if "nobody waits for this" in batch] == []
        assert server.count("dim_abandoned_total") == 1


def test_what_waits_too_long_is_503_and_gives_its_place_back(linker: Linker, pool: ThreadPoolExecutor) -> None:
    with running(linker, timeout_s=0.1) as server, Held(linker) as held:
        late = ask(server)  # the linker is held, so that nothing but the time-out can answer
        assert held.go.is_set() is False
        assert late.status_code == 503
        assert late.json()["error"]["expected"] == "an answer in time"
        assert int(late.headers["retry-after"]) >= 1
        assert server.batcher.accepted == 0
        held.go.set()
        wait_until(server.still_answers)


def test_stopping_refuses_the_new_and_answers_the_accepted(linker: Linker, pool: ThreadPoolExecutor) -> None:
    with running(linker) as server, Held(linker) as held:
        accepted = [hold_first(server, held, pool)] + [pool.submit(ask, server) for _ in range(5)]
        wait_until(lambda: server.batcher.accepted == 6)
        server.batcher.refuse()
        refused = ask(server)
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        assert refused.json()["error"]["found"] == "it is stopping"
        assert server.client.get("/ready").status_code == 503
        assert server.client.get("/health").status_code == 200
        held.go.set()
        assert {answer.result().status_code for answer in accepted} == {200}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_retry_after_follows_the_measured_rate(linker: Linker) -> None:
    with running(linker) as server:
        batcher = server.batcher
        assert batcher.retry_after() == 1

        async def rates() -> list[int]:
            batcher.accepted, found = 200, []
            for num_questions, seconds in ((10, 1.0), (100, 1.0), (1, 1000.0)):
                batcher._rate = 0
                batcher._count(num_questions, seconds)
                found.append(batcher.retry_after())
            batcher.accepted = 0
            return found

        assert asyncio.run(rates()) == [20, 2, 60]
