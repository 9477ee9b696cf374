"""A question that poisons what answers it gets its error; its neighbours in the batch get their answers."""

import json
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from demo_run import demo_run, linker_of, questions_of
from PIL import Image
from waiting import HANG, wait_until

from dim.__main__ import main
from dim.encoders.base import Features
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.errors import DataError
from dim.features.live import LiveEncoder
from dim.images.decoder_process import LOST
from dim.images.decoders import Decoders
from dim.linker import Linker, Question
from dim.linker.each import link_each, read_images
from dim.reranker.features import FEATURES
from dim.reranker.lists import Lists
from dim.reranker.network import RankerNetwork
from dim.reranker.ranker import Judged, Ranker

POISON = "Zyxtral Quovane"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


class DoubtfulTexts(TinyTextEncoder):
    """Knows no vector of the poison."""

    def encode_text(self, texts: Sequence[str]) -> Features:
        features = super().encode_text(texts)
        features[[POISON in text for text in texts]] = np.nan
        return features


class DoubtfulImages(TinyImageEncoder):
    """Knows no vector of a red picture."""

    def encode_image(self, pixels: object) -> Features:
        features = super().encode_image(pixels)
        is_red = (np.asarray(pixels)[..., 0] > np.asarray(pixels)[..., 1]).mean((1, 2)) > 0.9
        features[is_red] = np.inf
        return features


class DoubtfulRanker(Ranker):
    """Has no scores where a single entity competes."""

    def judge(self, lists: Lists) -> list[Judged]:
        judged = super().judge(lists)
        for place, (start, end) in enumerate(zip(lists.starts[:-1], lists.starts[1:], strict=True)):
            if end - start == 1:
                judged[place].scores[:] = np.nan
        return judged


def poisoned(run: Path, part: str, tmp_path: Path) -> tuple[Linker, Question]:
    """A linker, and the question that it computes no numbers of."""
    linker = linker_of(run)
    if part == "text encoder":
        linker.live = linker.towers.live = LiveEncoder(replace(linker.live.choices, text_encoder=DoubtfulTexts(256)))
        return linker, Question(POISON)
    if part == "image encoder":
        linker.live = linker.towers.live = LiveEncoder(replace(linker.live.choices, image_encoder=DoubtfulImages()))
        grey = Image.linear_gradient("L").resize((32, 32))
        red = Image.merge("RGB", [grey.point(lambda level: 255), grey.point(lambda level: level // 2), grey])
        red.save(tmp_path / "red.png")
        return linker, Question("Velton", image=str(tmp_path / "red.png"))
    linker.ranker = DoubtfulRanker(RankerNetwork(len(FEATURES)), tuple(FEATURES), facts={"num_candidates": 8})
    return linker, Question(POISON, candidates=[next(iter(linker.knowledge)).id])


@pytest.mark.parametrize("part", ["text encoder", "image encoder", "ranker"])
def test_nan_of_one_question_is_its_own_error(run: Path, tmp_path: Path, part: str) -> None:
    linker, poison = poisoned(run, part, tmp_path)
    good = [Question(question.mention, question.context) for question in questions_of(run)[:6]]
    expected = linker.link_batch(good)
    asked = [*good[:2], poison, *good[2:]]
    with pytest.raises(DataError, match=r"that are finite numbers, in question 2\nfound    NaN or infinity"):
        linker.link_batch(asked)
    outcomes = link_each(linker, asked, 5)
    bad = outcomes.pop(2)
    assert isinstance(bad, DataError)
    assert "question 2" not in str(bad)
    for outcome, answers in zip(outcomes, expected, strict=True):
        assert isinstance(outcome, list)
        assert [answer.id for answer in outcome] == [answer.id for answer in answers]
        assert [answer.score for answer in outcome] == pytest.approx([answer.score for answer in answers], abs=1e-5)


def test_an_image_that_ends_its_decoder_is_its_questions_error(run: Path) -> None:
    linker, questions = linker_of(run), [question for question in questions_of(run) if question.image][:4]
    expected = linker.link_batch(questions)
    with Decoders(1, HANG) as decoders:
        decoders.decode(str(questions[0].image))
        (pid,) = decoders.running
        os.kill(pid, signal.SIGSTOP)
        killer = threading.Thread(target=_kill_at_work, args=(decoders, pid))
        killer.start()
        bad, *others = link_each(linker, read_images(linker, questions, decoders), 5)
        killer.join()
    assert isinstance(bad, DataError)
    assert bad.found == f"{questions[0].image}: {LOST}"
    for outcome, answers in zip(others, expected[1:], strict=True):
        assert isinstance(outcome, list)
        assert [answer.id for answer in outcome] == [answer.id for answer in answers]


def _kill_at_work(decoders: Decoders, pid: int) -> None:
    wait_until(lambda: decoders.num_free == 0)
    os.kill(pid, signal.SIGKILL)


def test_dim_link_goes_on_whatever_becomes_of_its_decoders(run: Path, tmp_path: Path) -> None:
    asked = [{"mention": question.mention, "image": question.image} for question in questions_of(run) if question.image]
    source = tmp_path / "asked.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in asked))
    ended = threading.Event()
    killed: set[int] = set()
    killer = threading.Thread(target=_kill_first_child, args=(killed, ended))
    killer.start()
    try:
        options = ["--input", str(source), "--output", str(tmp_path / "a.jsonl"), "--device", "cpu"]
        assert main(["link", "--model", str(run), *options]) == 0
    finally:
        ended.set()
        killer.join()
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    errors = [row["error"] for row in rows if "error" in row]
    assert killed
    assert len(rows) == len(asked)
    assert len(errors) <= len(killed)
    assert all(LOST in error for error in errors)
    assert all(row["answers"] for row in rows if "error" not in row)


def _kill_first_child(killed: set[int], ended: threading.Event) -> None:
    """Kills the first process that this one starts to decode."""
    while not killed and not ended.wait(0.001):
        for children in Path("/proc/self/task").glob("*/children"):
            with suppress(OSError):
                for pid in map(int, children.read_text().split()):
                    if b"dim.images.decoder" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGKILL)
                        killed.add(pid)
