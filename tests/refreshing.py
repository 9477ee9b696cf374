"""A small dataset to refresh, and short words for doing so, for the tests of `dim refresh`."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from llm_servers import FaultyServer, completion
from moved_clock import MovedClock
from slow_servers import SequentialServer

from dim.cli.refresh import refresh
from dim.data.dataset import Dataset, write_dataset
from dim.refresh.rate import Pacer

CONTEXT = "a context that holds the answer"
NAMES = ("Ada", "Bob", "Cyd", "Dan", "Eve", "Fay", "Gus", "Hal", "Ivy", "Jon", "Kay", "Leo", "Max", "Ned", "Oli", "Pia")
VARIANT = "refreshed-tiny"


def many_entities(folder: Path, num: int) -> Path:
    """A dataset of so many entities with texts."""
    ids = [f"Q{n}" for n in range(num)]
    entities = pd.DataFrame({"id": ids, "name": [f"Name{n}" for n in range(num)]})
    texts = pd.DataFrame({"entity_id": ids, "text": [f"Name{n} was born in {1900 + n}." for n in range(num)]})
    mentions = pd.DataFrame({"id": ["m1"], "split": "dev", "mention": "N", "context": CONTEXT, "entity_id": "Q0"})
    write_dataset(folder, name="many", entities=entities, texts={"brief": texts}, mentions=mentions)
    return folder


def small_dataset(folder: Path) -> Path:
    """A dataset of 16 entities, Q0 to Q15; the last has no text."""
    ids = [f"Q{n}" for n in range(len(NAMES))]
    attributes = [json.dumps({"looks": {"coat": "red"}, "known for": ["chess"]})] + [None] * 15
    entities = pd.DataFrame({"id": ids, "name": NAMES, "attributes": attributes, "type": ["person"] + [None] * 15})
    entities["aliases"] = [["Countess"]] + [[]] * 15
    texts = pd.DataFrame({"entity_id": ids[:15], "text": [f"{name} was born in 1900." for name in NAMES[:15]]})
    mentions = pd.DataFrame({"id": ["m1"], "split": "dev", "mention": "Ms. A.", "context": CONTEXT, "entity_id": "Q0"})
    write_dataset(folder, name="small", entities=entities, texts={"brief": texts}, mentions=mentions)
    return folder


def run(data: Path, server: FaultyServer | SequentialServer | None = None, **options: Any) -> Dataset:
    url = {} if server is None else {"base_url": server.url}
    return refresh(data, **({"model": "tiny", "backoff_s": 0.01, **url} | options))


def paced_by_a_moved_clock(
    monkeypatch: pytest.MonkeyPatch, limit: Callable[[], float] = lambda: math.inf
) -> MovedClock:
    """Lets `refresh` wait by a clock that passes no time of this machine's."""
    moved = MovedClock(limit)
    monkeypatch.setattr("dim.refresh.chat_server.Pacer", lambda rate: Pacer(rate, moved.clock))
    return moved


def name_of(question: str) -> str:
    return re.fullmatch(r'Who or what is "(\w+)"\?', question)[1]  # type: ignore[index]


def kind_answer(number: int, question: str, body: Any) -> Any:
    return 200, {}, completion(f"A tall person called {name_of(question)}.")


def answers(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / "answers" / f"{VARIANT}.jsonl").read_text().splitlines()]


def num_answers(data: Path) -> int:
    """How many are recorded by now; the last may be half written."""
    path = data / "answers" / f"{VARIANT}.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def spoken(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return re.sub(r"\s+", " ", captured.out + captured.err)
