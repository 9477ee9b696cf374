"""`dim refresh` against a server that writes one answer after the other, more slowly than eight at once could wait."""

from pathlib import Path
from typing import Any

import pytest
from llm_servers import FaultyServer, completion
from refreshing import VARIANT, answers, many_entities, run, small_dataset, spoken
from slow_servers import PARTS, SequentialServer
from waiting import wait_until

from dim.errors import ConfigError

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.long  # by a clock that a busy machine does not keep; make test has test_window.py, on a moved one
@pytest.mark.parametrize("streams", [True, False])
def test_a_server_that_answers_one_by_one_is_asked_hardly_more_than_once_an_entity(
    tmp_path: Path, streams: bool
) -> None:
    data = many_entities(tmp_path / "data", 64)
    with SequentialServer(0.08, streams) as server:
        dataset = run(data, server, timeout_s=0.6, backoff_s=0.02)
    assert dataset.texts(VARIANT).notna().all()
    assert len(server.requests) <= 1.1 * 64
    assert server.num_parts <= 1.1 * 64 * PARTS  # the server's own time for them one by one


def test_what_timed_out_is_told_with_the_options_that_would_do(tmp_path: Path, capsys: Any) -> None:
    data = many_entities(tmp_path / "data", 12)
    with SequentialServer(0.3) as server:  # two at once are too much
        dataset = run(data, server, timeout_s=0.5, backoff_s=0.02)
        timed_out = len(server.requests) - 12
        wait_until(lambda: server.num_given_up > 0)  # it stops writing
    assert dataset.texts(VARIANT).notna().all()
    assert timed_out > 0
    assert sum(line["failures"].count("timeout") for line in answers(data)) == timed_out
    said = spoken(capsys)
    assert f"sent {len(server.requests)} requests ({timed_out} timed out)" in said
    assert "are no server's count, but the most that" in said
    assert "time-outs --concurrency 1 --timeout_s 1 should do" in said


def test_what_no_server_counted_stands_apart_in_the_summary(tmp_path: Path, capsys: Any) -> None:
    data = small_dataset(tmp_path / "data")

    def script(number: int, question: str, body: Any) -> Any:
        return 200, {}, completion("A tall person.", usage=None if "Bob" in question else (40, 12))

    with FaultyServer(script) as server:
        run(data, server, limit=3)
    bound = next(line for line in answers(data) if line["entity_id"] == "Q1")["tokens_in"]
    said = spoken(capsys)
    assert f"sent 3 requests, {80 + bound:,} tokens in, {24 + 160} out; of these {bound:,} in, 160 out are no" in said
    assert "the most that 1 request(s) without one may have used" in said


def test_a_first_question_that_times_out_names_the_options_that_would_do(tmp_path: Path) -> None:
    data = small_dataset(tmp_path / "data")
    with (
        SequentialServer(100) as server,
        pytest.raises(ConfigError, match="none in 2 tries; the last: timeout") as hint,
    ):
        run(data, server, timeout_s=0.5, retries=1)
    assert "--concurrency 1 --timeout_s 2" in hint.value.remedy
    assert len(server.requests) == 2


def test_a_streamed_answer_is_read_with_its_tokens_model_and_state(tmp_path: Path) -> None:
    data = small_dataset(tmp_path / "data")
    with SequentialServer(streams="unreported") as server:
        dataset = run(data, server, limit=2)
    assert dataset.texts(VARIANT)["Q1"] == "A tall person of this world, called Bob."
    for line in answers(data):
        assert (line["served_model"], line["finish_reason"]) == ("tiny-2026-01-01", "stop")
        assert (line["tokens_in"], line["tokens_out"], line["tokens_reported"]) == (40, 12, True)
        assert line["system_fingerprint"] == "fp_tiny"


def test_a_server_that_names_the_field_it_does_not_know_by_its_place_is_asked_without_it(tmp_path: Path) -> None:
    data = small_dataset(tmp_path / "data")
    with SequentialServer(streams="strict") as server:
        dataset = run(data, server)
    assert dataset.texts(VARIANT).notna().all()
    assert len(server.requests) == 17
    assert all(body["stream"] and "stream_options" not in body for body in server.requests[1:])


def test_a_server_that_streams_nothing_is_asked_plainly_after_one_request(tmp_path: Path) -> None:
    data = small_dataset(tmp_path / "data")
    with SequentialServer(streams="refused") as server:
        dataset = run(data, server, max_requests=17)
    assert dataset.texts(VARIANT).notna().all()
    assert [body.get("stream") for body in server.requests] == [True] + [None] * 16
    assert {line["tries"] for line in answers(data)} == {1}


def test_a_stream_that_tells_of_an_error_becomes_no_text(tmp_path: Path) -> None:
    data = small_dataset(tmp_path / "data")
    with SequentialServer(streams="broken") as server:
        dataset = run(data, server, limit=3, retries=1)
    assert dataset.texts(VARIANT).dropna().index.tolist() == ["Q0", "Q2"]
    line = next(line for line in answers(data) if line["entity_id"] == "Q1")
    assert (line["status"], line["tries"], line["detail"]) == ("server_error", 2, "CUDA out of memory")
