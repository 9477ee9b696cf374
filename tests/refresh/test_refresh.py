import asyncio
import io
import json
import re
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from llm_servers import ESCAPED, KEY, FaultyServer, completion
from refreshing import (
    CONTEXT,
    NAMES,
    VARIANT,
    answers,
    kind_answer,
    name_of,
    paced_by_a_moved_clock,
    run,
    spoken,
)
from waiting import HANG, wait_until

from dim.core.files import content_hash
from dim.core.locks import folder_lock
from dim.data.dataset import Dataset, add_texts, write_dataset
from dim.data.entity import Entity
from dim.errors import ConfigError, DataError, MissingExtraError
from dim.refresh.prompt import PromptTemplate


def test_the_answers_become_a_text_variant_and_the_rest_stays(data: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*.parquet")}
    with FaultyServer(kind_answer) as server:
        dataset = run(data, server, price_in=10, price_out=100)
    assert dataset.texts(VARIANT).tolist() == [f"A tall person called {name}." for name in NAMES]
    assert {path: path.read_bytes() for path in before} == before
    facts = dataset.meta["text_facts"][VARIANT]
    assert (facts["model"], facts["served_models"], facts["source_text"]) == ("tiny", ["tiny-2026-01-01"], "brief")
    assert (facts["tokens_in"], facts["tokens_out"], facts["statuses"]) == (16 * 40, 16 * 12, {"ok": 16})
    assert facts["cost"] == pytest.approx(16 * (40 * 10 + 12 * 100) / 1e6)
    record = {line["entity_id"]: line for line in answers(data)}["Q3"]
    assert record["text"] == "A tall person called Dan."
    assert (record["model"], record["served_model"]) == ("tiny", "tiny-2026-01-01")
    assert record["prompt_hash"] == facts["prompt_hash"]
    assert (record["tokens_in"], record["tokens_out"], record["tokens_reported"]) == (40, 12, True)
    assert record["cost"] == pytest.approx((40 * 10 + 12 * 100) / 1e6)
    assert record["parameters"]["temperature"] == 0
    assert pd.Timestamp(record["date"]).tzinfo is not None


def test_the_prompt_holds_every_field_of_the_entity_and_nothing_of_a_mention(data: Path) -> None:
    with FaultyServer(kind_answer) as server:
        run(data, server)
    sent = {name: body for _, name, body, _ in server.requests}
    first = sent['Who or what is "Ada"?']["messages"]
    for part in ("Countess", "person", "coat: red", "chess", "Ada was born in 1900.", "appearance", "same name"):
        assert part in first[-1]["content"]
    assert first[0]["role"] == "system"
    assert "What was known so far" not in sent['Who or what is "Pia"?']["messages"][-1]["content"]
    everything = json.dumps(list(sent.values()))
    assert CONTEXT not in everything
    assert "Ms. A." not in everything
    assert (sent['Who or what is "Ada"?']["max_tokens"], sent['Who or what is "Ada"?']["temperature"]) == (160, 0)


def test_the_key_is_sent_and_appears_nowhere(data: Path, capfd: Any) -> None:
    def script(number: int, question: str, body: Any) -> Any:
        name = name_of(question)
        if name == "Bob":
            return 400, {}, {"error": {"message": f"bad key {KEY}"}}
        if name == "Cyd":
            return 200, {}, f"no JSON, but {KEY}".encode()
        if name == "Dan":
            return 200, {}, json.dumps(completion("A person with the key THIS.")).replace("THIS", ESCAPED).encode()
        return 200, {}, completion(f"A person whose key is {KEY}.")

    with FaultyServer(script) as server:
        run(data, server)
        run(data, server, dry_run=True)
        run(data, show="Q0")
    assert {key for _, _, _, key in server.requests} == {f"Bearer {KEY}"}
    captured = capfd.readouterr()
    assert KEY not in captured.out + captured.err
    files = [path for path in data.rglob("*") if path.is_file()]
    assert data / "answers" / f"{VARIANT}.jsonl" in files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert Dataset(data).texts(VARIANT)["Q0"] == "A person whose key is [key]."
    assert Dataset(data).texts(VARIANT)["Q3"] == "A person with the key [key]."


def test_the_request_budget_stops_before_the_next_call_and_the_next_run_goes_on(data: Path, capsys: Any) -> None:
    def script(number: int, question: str, body: Any) -> Any:
        if name_of(question) == "Bob" and number == 0:
            return 500, {}, b""
        return kind_answer(number, question, body)

    with FaultyServer(script) as server:
        dataset = run(data, server, max_requests=6, concurrency=1)
        assert len(server.requests) == 6  # the retry counts
        said = spoken(capsys)
        assert "stopped before the next call: max_requests 6 (6 sent)" in said
        assert "11 entities are left; the same command goes on with them" in said
        assert dataset.texts(VARIANT).notna().sum() == 5
        run(data, server)
    assert Counter(map(name_of, server.names())) == dict.fromkeys(NAMES, 1) | {"Bob": 2}


def test_a_budget_that_ends_between_two_tries_records_the_first(data: Path) -> None:
    def script(number: int, question: str, body: Any) -> Any:
        return kind_answer(number, question, body) if name_of(question) == "Ada" else (500, {}, b"")

    with FaultyServer(script) as server:
        run(data, server, max_requests=2, concurrency=1)
    assert len(server.requests) == 2
    assert [(line["entity_id"], line["status"], line["tries"]) for line in answers(data)] == [
        ("Q0", "ok", 1),
        ("Q1", "server_error", 1),
    ]


@pytest.mark.parametrize("limit", [{"max_total_tokens": 4000}, {"max_cost": 0.004, "price_in": 1.0, "price_out": 1.0}])
def test_tokens_and_money_are_never_passed_with_eight_in_flight(data: Path, limit: Any, capsys: Any) -> None:
    used: list[int] = []
    hold = threading.Event()

    def script(number: int, question: str, body: Any) -> Any:
        hold.wait(0.05)
        usage = (300 + 20 * len(used), 160)
        used.append(sum(usage))
        return 200, {}, completion("A tall person.", usage=usage)

    with FaultyServer(script) as server:
        run(data, server, concurrency=8, **limit)
    assert sum(used) <= 4000
    assert sum(used) > 4000 - 1100  # and no more is left than one call could take
    assert len(used) < 16
    assert next(iter(limit)) in spoken(capsys)


def test_a_budget_too_small_for_one_call_sends_nothing(data: Path, capsys: Any) -> None:
    with FaultyServer(kind_answer) as server:
        run(data, server, max_total_tokens=100)
    assert server.requests == []
    assert "16 entities are left" in spoken(capsys)


def test_a_budget_of_money_needs_a_price(data: Path) -> None:
    with pytest.raises(ConfigError, match="price for max_cost"):
        run(data, max_cost=1)


def test_requests_are_spaced_by_the_rate_limit(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = paced_by_a_moved_clock(monkeypatch)
    with FaultyServer(kind_answer, lambda: moved.now) as server:
        run(data, server, requests_per_minute=1200, limit=10, concurrency=1)
    times = [time for time, _, _, _ in server.requests]
    assert times == pytest.approx([0.05 * place for place in range(10)])


def test_the_rate_limit_holds_for_all_that_is_in_flight_together(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = paced_by_a_moved_clock(monkeypatch)
    with FaultyServer(kind_answer) as server:
        run(data, server, requests_per_minute=1200, limit=10, concurrency=8)
    assert moved.now == pytest.approx(9 * 0.05)


def test_so_many_requests_are_in_flight_as_allowed(data: Path) -> None:
    met = threading.Barrier(3, timeout=HANG)

    def script(number: int, question: str, body: Any) -> Any:
        if name_of(question) != "Ada":  # the first goes alone
            met.wait()
        return kind_answer(number, question, body)

    with FaultyServer(script) as server:
        run(data, server, concurrency=3)
    assert server.most_in_flight == 3


def test_a_higher_answer_limit_asks_for_the_cut_answers_alone(data: Path) -> None:
    def script(number: int, question: str, body: Any) -> Any:
        is_cut = name_of(question) == "Eve" and body["max_tokens"] < 100
        return 200, {}, completion("A tall person.", "length" if is_cut else "stop")

    with FaultyServer(script) as server:
        run(data, server, max_tokens=50)
        dataset = run(data, server, max_tokens=200)
    assert server.names()[16:] == ['Who or what is "Eve"?']
    assert dataset.texts(VARIANT).notna().all()


def test_an_entity_whose_old_text_changed_is_asked_again(data: Path) -> None:
    with FaultyServer(kind_answer) as server:
        run(data, server)
        table = pd.read_parquet(data / "texts" / "brief.parquet")
        table.loc[table["entity_id"] == "Q6", "text"] = "Gus is a goat."
        add_texts(data, "brief", table)
        run(data, server)
    assert server.names()[16:] == ['Who or what is "Gus"?']


def test_only_the_first_entities_are_asked_with_a_limit(data: Path) -> None:
    with FaultyServer(kind_answer) as server:
        dataset = run(data, server, limit=3)
    assert dataset.texts(VARIANT).dropna().index.tolist() == ["Q0", "Q1", "Q2"]
    assert dataset.meta["text_facts"][VARIANT]["statuses"] == {"ok": 3, "not asked": 13}


def test_originals_and_texts_of_another_recipe_are_protected(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'brief', an original"):
        run(data, variant="brief")
    mine = tmp_path / "mine.txt"
    mine.write_text('Who or what is "{{ name }}"?\nBe short.')
    with FaultyServer(kind_answer) as server:
        run(data, server)
        with pytest.raises(ConfigError, match=r"it was made by tiny from 'brief'\)(.|\n)*--replace true"):
            run(data, server, template=mine)
        run(data, server, template=mine, replace=True, limit=2)
        assert len(server.requests) == 18
        run(data, server, replace=True)
    assert len(server.requests) == 18  # the first template's answers are still there
    assert Dataset(data).texts(VARIANT).notna().all()


def test_old_and_new_stand_side_by_side(data: Path, capsys: Any) -> None:
    def script(number: int, question: str, body: Any) -> Any:
        if name_of(question) == "Bob":
            return 200, {}, completion("A half-said th", "length")
        return kind_answer(number, question, body)

    with FaultyServer(script) as server:
        run(data, server, limit=2)
    capsys.readouterr()
    run(data, model=None, show="Q0")
    said = spoken(capsys)
    for part in ("Q0 Ada", "old: brief", "new: refreshed-tiny", "Ada was born in 1900.", "A tall person called Ada."):
        assert part in said
    for part in ("status ok", "model tiny (tiny-2026-01-01)", "tokens 40 in, 12 out", "tries 1"):
        assert part in said
    run(data, show="Q1")
    said = spoken(capsys)
    assert "(no text)" in said
    assert "status truncated, cut at the longest answer allowed" in said
    assert "said, not used A half-said th" in said
    run(data, show="Q9")
    assert "status not asked" in spoken(capsys)
    with pytest.raises(DataError, match="an entity of small"):
        run(data, show="Q99")


def test_show_without_any_refreshed_text_says_so(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"one refreshed text(.|\n)*none(.|\n)*--variant"):
        run(data, model=None, show="Q0")


def test_the_quality_of_the_texts_is_printed_and_stored(data: Path, capsys: Any) -> None:
    said_of = {"Ada": "Ada was born in 1900!", "Bob": "He met Queen Victoria in a red coat."}

    def script(number: int, question: str, body: Any) -> Any:
        return 200, {}, completion(said_of.get(name_of(question), "A tall person."))

    with FaultyServer(script) as server:
        dataset = run(data, server, limit=4)
    quality = dataset.meta["text_facts"][VARIANT]["quality"]
    assert (quality["num_texts"], quality["without_text"], quality["identical"], quality["shared"]) == (4, 12, 1, 2)
    assert (quality["num_new_names"], quality["examples"]) == (1, ["Q1: Queen Victoria"])
    assert quality["words_new"] == {"num": 4, "min": 3.0, "median": 4.0, "mean": 4.8, "p95": 7.5, "max": 8.0}
    said = spoken(capsys)
    assert "equal to the old text 1 of 4 (25%)" in said
    assert "1 such names, e.g. Q1: Queen Victoria" in said
    assert (quality["sentences"], quality["supported"]) == (4, 1)
    assert "sentences that the old text or the attributes support 1 of 4 (25%)" in said
    assert "unsupported, e.g. Q1: He met Queen Victoria in a red coat." in said


def test_a_notebook_with_a_loop_of_its_own_can_refresh(data: Path) -> None:
    async def cell() -> Dataset:
        return run(data, server)

    with FaultyServer(kind_answer) as server:
        assert asyncio.run(cell()).texts(VARIANT).notna().all()


def test_what_is_missing_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="neither --model nor DIM_LLM_MODEL"):
        run(data, model=None)
    with pytest.raises(ConfigError, match=r"an entity text 'long'(.|\n)*brief(.|\n)*--source_text"):
        run(data, source_text="long")
    with pytest.raises(ConfigError, match="a URL such as"):
        run(data, base_url="localhost:8000/v1")
    with pytest.raises(ConfigError, match="concurrency"):
        run(data, concurrency=0)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\nsk-other")
    with pytest.raises(ConfigError, match=r"plain characters in OPENAI_API_KEY(.|\n)*not shown") as caught:
        run(data, base_url="http://localhost:1/v1")
    assert "sk-secret" not in str(caught.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="Set OPENAI_API_KEY"):
        run(data)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dim-linker\[refresh\]'"):
        run(data, base_url="http://localhost:1/v1")


def test_a_dataset_that_is_written_anew_while_it_waits_is_asked_nothing(data: Path) -> None:
    # Not capsys: what a thread writes while this one reads may be lost there.
    with FaultyServer(kind_answer) as server, ThreadPoolExecutor(1) as other, redirect_stderr(io.StringIO()) as said:
        with folder_lock(data, "dim prepare", whole=True):
            refreshing = other.submit(run, data, server)
            wait_until(lambda: "waiting: " in said.getvalue())
            expected = r"waiting: .*data is being written by dim prepare \(process \d+ on .+, since \d{4}-"
            assert re.search(expected, said.getvalue())
            entities = pd.DataFrame({"id": ["Q1"], "name": ["Ada"]})
            mentions = pd.DataFrame({"id": ["m"], "split": "dev", "mention": "Ada", "context": "", "entity_id": "Q1"})
            write_dataset(data, name="new", entities=entities, texts={}, mentions=mentions)
        with pytest.raises(DataError, match="others: it was written anew meanwhile"):
            refreshing.result()
    assert not server.requests
    assert not (data / "answers").exists()


def test_the_record_says_what_was_asked_of_the_sampling_and_what_cannot_be_known(data: Path) -> None:
    def states(number: int, question: str, body: Any) -> Any:
        status, headers, answer = kind_answer(number, question, body)
        return status, headers, answer | {"system_fingerprint": "fp_1"}

    with FaultyServer(states) as server:
        run(data, server, temperature=0.7, seed=3)
    assert {(body["temperature"], body["seed"]) for _, _, body, _ in server.requests} == {(0.7, 3)}
    sampling = Dataset(data).meta["text_facts"][VARIANT]["sampling"]
    assert (sampling["asked"], sampling["system_fingerprints"]) == ({"temperature": 0.7, "seed": 3}, ["fp_1"])
    assert sampling["not_known"].startswith("whether the server followed them")
    assert {(line["parameters"]["seed"], line["system_fingerprint"]) for line in answers(data)} == {(3, "fp_1")}


def test_further_fields_are_sent_recorded_and_part_of_the_question(data: Path) -> None:
    fields = {"stop": ["END"], "frequency_penalty": 0.3, "chat_template_kwargs": {"enable_thinking": False}}
    with FaultyServer(kind_answer) as server:
        run(data, server, limit=2)
        run(data, server, limit=2, variant="further", request_fields=fields)
        run(data, server, limit=2, variant="further", request_fields=dict(reversed(fields.items())))
    assert len(server.requests) == 4
    assert {key: server.requests[2][2][key] for key in fields} == fields
    before = answers(data)
    after = [json.loads(line) for line in (data / "answers" / "further.jsonl").read_text().splitlines()]
    assert [line["parameters"].get("request_fields") for line in before + after] == [None, None, fields, fields]
    assert Dataset(data).meta["text_facts"]["further"]["parameters"]["request_fields"] == fields
    assert {line["request_hash"] for line in before}.isdisjoint(line["request_hash"] for line in after)
    prompt = PromptTemplate().render(Entity("Q1", "Bob"), "Bob was born in 1900.")
    assert before[1]["request_hash"] == content_hash("tiny", prompt.system, prompt.user, "0.0", "0")  # as ever
    with pytest.raises(ConfigError, match="seed, stream"):
        run(data, variant="other", request_fields={"stream": True, "seed": 1, "stop": "."})
