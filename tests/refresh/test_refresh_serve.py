"""`dim refresh` against a real OpenAI-compatible server on loopback: `transformers serve` with a tiny model."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from llm_servers import KEY, environment_of, transformers_serve, write_tiny_model
from waiting import HANG, let_work

from dim.cli.refresh import refresh
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.errors import ConfigError
from dim.refresh.plan import entities_of, old_texts
from dim.refresh.prompt import PromptTemplate
from dim.refresh.tokens import TokenCounter

NUM = 50
FIELDS = {"frequency_penalty": 1.0}  #: Random weights would say the same word again and again.


def command(data: Path, *options: str) -> list[str]:
    named = ["--variant", "new", "--limit", str(NUM), "--request_fields", json.dumps(FIELDS)]
    return [sys.executable, "-m", "dim", "refresh", str(data), *named, *options]


def records(data: Path) -> list[dict[str, object]]:
    path = data / "answers" / "new.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []  # what follows the last newline may be torn
    return [json.loads(line) for line in lines]


@pytest.mark.long
def test_fifty_entities_survive_a_budget_a_kill_and_end_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = demo_world(tmp_path / "demo", num_entities=100, num_mentions=143, num_images=0)
    originals = {path: path.read_bytes() for path in data.root.rglob("*.parquet")}
    words = [word for text in data.texts("refreshed") if text for word in re.findall(r"\w+|[^\w\s]", text)]
    model = write_tiny_model(tmp_path / "tiny", words)
    log = tmp_path / "serve.log"

    def num_served() -> int:
        return log.read_text().count("POST /v1/chat/completions")

    with transformers_serve(model, log) as url:
        environment = {**environment_of(url), "DIM_LLM_MODEL": str(model)}

        done = subprocess.run(
            command(data.root, "--max_requests", "12", "--tokenizer", str(model)),
            env=environment,
            capture_output=True,
            text=True,
            timeout=HANG,
        )
        assert done.returncode == 0, done.stderr
        assert KEY not in done.stdout + done.stderr
        said = re.sub(r"\s+", " ", done.stdout)
        assert "stopped before the next call: max_requests 12 (12 sent). 38 entities are left" in said
        assert len(records(data.root)) == num_served() == 12

        killed = subprocess.Popen(
            command(data.root, "--requests_per_minute", "600"), env=environment, stderr=subprocess.DEVNULL
        )
        try:
            let_work(killed, lambda: len(records(data.root)), 25)
            assert killed.poll() is None
        finally:
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        at_kill = len(records(data.root))
        assert 25 <= at_kill < NUM

        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DIM_LLM_MODEL", "NO_PROXY"):
            monkeypatch.setenv(name, environment[name])
        refresh(data.root, variant="new", limit=NUM, request_fields=FIELDS)
        assert f"{at_kill} answered before, {NUM - at_kill} left" in capsys.readouterr().out
        found = records(data.root)
        ids = [str(record["entity_id"]) for record in found]
        assert sorted(ids) == sorted(data.entities["id"][:NUM])  # each asked and recorded once
        assert num_served() - NUM <= 8  # a kill loses at most what was in flight
        served = num_served()
        refresh(data.root, variant="new", limit=NUM, request_fields=FIELDS)
        assert "50 answered before, 0 left" in capsys.readouterr().out
        assert num_served() == served  # nothing is missing, so nothing is sent

    fresh = Dataset(data.root)
    assert {path: path.read_bytes() for path in originals} == originals
    texts = fresh.texts("new")
    assert {str(record["entity_id"]): record["text"] for record in found} == texts.dropna().to_dict()
    assert texts.notna().sum() == NUM
    for record in found:
        assert record["status"] == "ok"
        assert record["tokens_reported"]
        assert str(record["served_model"]).startswith(str(model))
    files = [path for path in [*data.root.rglob("*"), log] if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.long
def test_a_real_server_counts_as_its_tokenizer_takes_further_fields_and_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = demo_world(tmp_path / "demo", num_entities=100, num_mentions=143, num_images=0)
    words = [word for text in data.texts("refreshed") if text for word in re.findall(r"\w+|[^\w\s]", text)]
    model = write_tiny_model(tmp_path / "tiny", words)
    log, counter = tmp_path / "serve.log", TokenCounter(model)

    def asked(variant: str, **options: Any) -> list[dict[str, Any]]:
        refresh(data.root, variant=variant, limit=6, tokenizer=model, **({"request_fields": FIELDS} | options))
        lines = (data.root / "answers" / f"{variant}.jsonl").read_text().splitlines()
        return sorted(map(json.loads, lines), key=lambda line: str(line["entity_id"]))

    with transformers_serve(model, log) as url:
        for name, value in {**environment_of(url), "DIM_LLM_MODEL": str(model)}.items():
            monkeypatch.setenv(name, value)
        whole = asked("whole")
        pairs = zip(entities_of(data), old_texts(data, "brief"), strict=True)
        prompts = {entity.id: PromptTemplate().render(entity, text) for entity, text in pairs}
        assert [line["tokens_in"] for line in whole] == [counter.count(prompts[line["entity_id"]]) for line in whole]
        assert {(line["status"], line["finish_reason"]) for line in whole} == {("ok", "stop")}

        # An answer whose end token is the last one allowed is whole, and yet reported as cut.
        shortest = min(line["tokens_out"] for line in whole)
        cut = asked("cut", max_tokens=shortest)
        assert {line["finish_reason"] for line in cut} == {"length"}

        further = asked("further", request_fields=FIELDS | {"chat_template_kwargs": {"enable_thinking": False}})
        assert [line["text"] for line in further] == [line["text"] for line in whole]
        without = asked("without", request_fields={})
        assert [line["text"] for line in without] != [line["text"] for line in whole]

        before = log.read_text().count("POST /v1/chat/completions")
        with pytest.raises(ConfigError, match=r"HTTP 400: Server is pinned to .*; requested 'other'"):
            refresh(data.root, variant="other", model="other")
        assert log.read_text().count("POST /v1/chat/completions") == before + 1
