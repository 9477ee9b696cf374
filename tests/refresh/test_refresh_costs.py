"""What `dim refresh` says of tokens and money before it asks, and prompts that fit into the model's context."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from llm_servers import FaultyServer, completion, write_tiny_model
from refreshing import VARIANT, answers, kind_answer, name_of, run, spoken
from transformers import AutoTokenizer

from dim.data.dataset import Dataset, add_texts
from dim.refresh.prompt import DEFAULT_TEMPLATE


def test_a_dry_run_counts_and_sends_nothing(data: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    before = sorted(data.rglob("*"))
    run(data, dry_run=True, price_in=1.0, price_out=2.0, max_tokens=100)
    said = spoken(capsys)
    tokens = int(re.search(r"tokens about ([\d,]+) in", said)[1].replace(",", ""))  # type: ignore[index]
    assert "requests 16" in said
    assert "estimated by characters / 4, without the model's chat template), at most 1,600 out" in said
    assert f"cost about {(tokens + 2 * 1600) / 1e6:.4f}" in said
    assert re.findall(r"--- prompt for (Q\d+)", said) == ["Q0", "Q1", "Q2"]
    assert "Ada was born in 1900." in said
    assert "Nothing was sent." in said
    assert sorted(data.rglob("*")) == before
    run(data, dry_run=True)
    assert "cost name --price_in and --price_out" in spoken(capsys)


def test_the_cost_is_a_bound_by_a_tokenizer_and_else_corrected_by_what_the_server_reported(
    data: Path, tmp_path: Path, capsys: Any
) -> None:
    words = re.findall(r"\w+|[^\w\s]", DEFAULT_TEMPLATE.read_text())
    folder = write_tiny_model(tmp_path / "tiny", words)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def counted(body: Any) -> int:
        return len(tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)["input_ids"])

    def script(number: int, question: str, body: Any) -> Any:
        return 200, {}, completion("A tall person.", usage=(counted(body), 4))

    with FaultyServer(script) as server:
        run(data, server, dry_run=True, price_in=1.0, price_out=0.0, tokenizer=folder)
        at_most = float(re.search(r"cost at most ([\d.]+)", spoken(capsys))[1])  # type: ignore[index]
        run(data, server, limit=4)
        capsys.readouterr()
        run(data, server, dry_run=True, price_in=1.0, price_out=0.0)
        said = spoken(capsys)
        about = float(re.search(r"cost about ([\d.]+)", said)[1])  # type: ignore[index]
        assert "as the server counted 4" in said
        run(data, server, max_cost=at_most, price_in=1.0, price_out=0.0, tokenizer=folder)
    reported = [counted(body) for _, _, body, _ in server.requests]
    assert len(reported) == 16
    assert sum(reported) / 1e6 <= at_most + 1e-4
    assert about == pytest.approx(sum(reported[4:]) / 1e6, rel=0.1)


def test_a_budget_holds_by_what_the_server_reports_from_the_first_answer_on(data: Path) -> None:
    def script(number: int, question: str, body: Any) -> Any:  # a long template that nobody knew of
        return 200, {}, completion("A tall person.", usage=(3000, 200))

    with FaultyServer(script) as server:
        run(data, server, max_total_tokens=20_000)
    assert len(server.requests) == 6  # 19,200 tokens


@pytest.mark.parametrize("thoughts", ["", "Who is it?"])
def test_what_a_server_does_not_count_the_tokenizer_counts_where_it_can(
    data: Path, tmp_path: Path, capsys: Any, thoughts: str
) -> None:
    folder = write_tiny_model(tmp_path / "tiny", re.findall(r"\w+|[^\w\s]", DEFAULT_TEMPLATE.read_text()))
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def script(number: int, question: str, body: Any) -> Any:
        return 200, {}, completion("A tall person.", usage=None, **{"reasoning": thoughts} if thoughts else {})

    with FaultyServer(script) as server:
        run(data, server, limit=2, tokenizer=folder)
        run(data, server, limit=4)
    asked = [
        tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True) for *_, body, _ in server.requests
    ]
    lines, said = answers(data), spoken(capsys)
    written = 160 if thoughts else len(tokenizer("A tall person.")["input_ids"]) + 1
    for line, prompt in zip(lines[:2], asked, strict=False):
        assert (line["tokens_in"], line["tokens_out"]) == (len(prompt["input_ids"]), written)
    assert [line["tokens_by"] for line in lines] == [*["bound" if thoughts else "tokenizer"] * 2, "bound", "bound"]
    assert not any(line["tokens_reported"] for line in lines)
    assert lines[2]["tokens_out"] == 160
    assert "by the tokenizer, for 2 request(s) that the server did not count" in said
    assert "the most that 2 request(s) without one may have used uncounted --tokenizer FOLDER" in said


def test_a_prompt_beyond_the_context_loses_the_end_of_the_old_text(data: Path, capsys: Any) -> None:
    table = pd.read_parquet(data / "texts" / "brief.parquet")
    table.loc[table["entity_id"] == "Q2", "text"] = "Cyd was a singer. " + "She sang a long song. " * 400 + "The end."
    add_texts(data, "brief", table)
    with FaultyServer(kind_answer) as server:
        run(data, server, dry_run=True)
        assert re.search(
            r"the longest prompt has about 3,\d{3} tokens \(Q2\), the model.s context is not known: name --context",
            spoken(capsys),
        )
        run(data, server, limit=4, context=900)
        said = spoken(capsys)
        assert "1 prompts lost the end of the old text: the context has 900 tokens, 160 of them" in said
        assert "answer: Q2" in said
        questions = {name_of(name): body["messages"][-1]["content"] for _, name, body, _ in server.requests}
        assert "What was known so far: Cyd was a singer. She sang a long song." in questions["Cyd"]
        assert "The end." not in questions["Cyd"]
        assert 3 * 600 < len(questions["Cyd"]) < 3 * 740
        assert questions["Cyd"].endswith("Answer with the paragraph alone.")
        run(data, server, limit=4, context=900)
        assert len(server.requests) == 4  # asked once
        run(data, server, limit=2, context=900)
        assert Dataset(data).texts(VARIANT).notna().sum() == 4  # one beyond the limit is kept


def test_a_prompt_that_is_too_long_without_an_old_text_is_not_sent_and_named(data: Path, capsys: Any) -> None:
    with FaultyServer(kind_answer) as server:
        dataset = run(data, server, limit=5, context=180)
        said = spoken(capsys)
        assert "0 answered before, 0 left, 5 too long" in said
        assert "5 are too long even without an old text, and are not sent: Q0, Q1, Q2 …. Lower --max_tokens" in said
        assert "entities 5 too_long, 11 not asked" in said
        run(data, server, limit=5, context=180, dry_run=True)
        assert "requests 0" in spoken(capsys)
        assert not server.requests
        assert VARIANT not in dataset.variants
        run(data, server, limit=4, context=900)
        run(data, server, limit=5, context=180)
        assert "4 answered before, 0 left, 1 too long" in spoken(capsys)
    assert len(server.requests) == 4
    assert Dataset(data).meta["text_facts"][VARIANT]["statuses"] == {"ok": 4, "too_long": 1, "not asked": 11}


@pytest.mark.parametrize("later", [{}, {"context": 860}, {"context": 20_000}])
def test_what_was_answered_with_a_cut_text_is_known_whatever_the_context_is_taken_for_later(
    data: Path, capsys: Any, later: dict[str, int]
) -> None:
    table = pd.read_parquet(data / "texts" / "brief.parquet")
    table.loc[table["entity_id"].isin(["Q1", "Q2"]), "text"] = "Bob ran. " * 500
    add_texts(data, "brief", table)

    asked = []

    def cut_once(number: int, question: str, body: Any) -> Any:
        asked.append(question)
        is_cut = "Cyd" in question and asked.count(question) == 1
        return 200, {}, completion(f"A tall person called {name_of(question)}.", "length" if is_cut else "stop")

    with FaultyServer(cut_once, models=[{"id": "tiny", "max_model_len": 900}]) as listing:
        run(data, listing, limit=3)
    capsys.readouterr()
    with FaultyServer(cut_once) as server:  # which lists nothing
        run(data, server, limit=3, dry_run=True, **later)
        assert "2 answered before, 1 left" in spoken(capsys)
        run(data, server, limit=3, **later)
        assert server.names() == ['Who or what is "Cyd"?']
        run(data, server, limit=3)
    assert len(server.requests) == 1
    assert Dataset(data).texts(VARIANT).notna().sum() == 3


@pytest.mark.parametrize(
    ("models", "has_tokenizer", "context"),
    [
        ([{"id": "tiny", "max_model_len": 800}], False, "800"),
        ([{"id": "tiny", "max_model_len": 800}], True, "800"),
        ([{"id": "other", "max_model_len": 800}], True, "1,024"),
        ([{"id": "other"}], False, None),
    ],
)
def test_the_context_that_a_server_lists_counts_before_that_of_the_tokenizer(
    data: Path, tmp_path: Path, capsys: Any, models: list[dict[str, Any]], has_tokenizer: bool, context: str | None
) -> None:
    table = pd.read_parquet(data / "texts" / "brief.parquet")
    table.loc[table["entity_id"] == "Q1", "text"] = "Bob ran. " * 500
    add_texts(data, "brief", table)
    words = re.findall(r"\w+|[^\w\s]", DEFAULT_TEMPLATE.read_text())
    tokenizer = {"tokenizer": write_tiny_model(tmp_path / "tiny", words)} if has_tokenizer else {}
    with FaultyServer(kind_answer, models=models) as server:
        run(data, server, limit=2, **tokenizer)
    said = spoken(capsys)
    assert (f"the context has {context} tokens" in said) == (context is not None)
    assert ("the model's context is not known" in said) == (context is None)
