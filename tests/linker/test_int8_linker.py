"""`dim export --precision int8` measures what it costs before the folder takes its place, and may write nothing."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from demo_run import demo_run, linker_of
from fit_options import dim_options
from tiny_text import write_bert

from dim.__main__ import main
from dim.demo import demo_world
from dim.encoders import int8
from dim.encoders.encoder_check import LEAST_OF_BACKENDS
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError
from dim.features.live import ReadyImage
from dim.linker import Linker
from dim.linker.answer import Question
from dim.linker.asked_mentions import AskedMentions, mentions_of_run, with_ready_images
from dim.linker.backend_check import Measuring, agreement, least_beside
from dim.linker.card import encoder_names
from dim.linker.compared import compared

pytestmark = pytest.mark.usefixtures("own_caches")
INT8 = ["--backend", "onnx", "--precision", "int8", "--num_measured", "20"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a tiny BERT, which is trained on a small world."""
    place = tmp_path_factory.mktemp("int8")
    demo_world(place / "world", num_entities=120, seed=1, num_images=0)
    encoder = ["--data.text_encoder", "TransformersTextEncoder", "--data.text_encoder.path"]
    options = dim_options(place / "world", place / "run", *encoder, str(write_bert(place / "bert")))
    assert main(["fit", *options, "--model.width", "32", "--trainer.max_epochs", "1"]) == 0
    return place / "run"


@pytest.mark.long
def test_a_folder_in_int8_is_measured_and_answers_as_it_did_wherever_it_goes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), str(tmp_path / "linker"), *INT8, "--max_loss", "100"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "text encoder: onnx in int8; 20 of " in shown
    assert "dev mentions" in shown
    assert "one by one" in shown
    assert "a text alone and beside " in shown
    opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    asked = [Question("anna", "anna sees the town"), Question("b")]
    expected = opened.link_batch(asked)
    monkeypatch.setattr(torch.export, "export", None)  # what stands in the folder is enough
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    again = Linker.from_pretrained(shutil.move(tmp_path / "linker", tmp_path / "moved"), device="cpu")
    encoder = again.live.choices.text_encoder
    assert isinstance(encoder, TransformersTextEncoder)
    assert (encoder.backend, encoder.precision) == ("onnx", "int8")
    assert agreement(again.link_batch(asked), expected).same_lists == 1


def test_a_bad_rounding_is_refused_and_nothing_is_written_unless_one_insists(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(int8, "LEVELS", 1)  # each weight becomes -1, 0 or 1
    target = tmp_path / "linker"
    monkeypatch.setitem(
        LEAST_OF_BACKENDS, "int8", -1.0
    )  # else its vectors alone are refused: tests/features/test_int8.py
    assert main(["export", str(run), str(target), *INT8]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "at most 0.3 points of Top-1 less than by the run's own encoder, on 20 of " in said
    assert not target.exists()
    with monkeypatch.context() as patch:
        patch.setattr("dim.linker.backend_check.LEAST_BESIDE", 1.1)
        assert main(["export", str(run), str(target), *INT8, "--max_loss", "100"]) == 1
    assert "do not hang on its neighbours in a batch" in " ".join(capsys.readouterr().err.split())
    assert not target.exists()
    assert main(["export", str(run), str(target), *INT8, said.split("nevertheless: ")[1].split()[0], "100"]) == 0
    assert target.is_dir()


def test_mentions_are_those_of_dev_whose_entity_the_kb_has(run: Path) -> None:
    few, every = (mentions_of_run(run, most) for most in (7, 10_000))
    assert few is not None
    assert every is not None
    assert (few.split, len(few.questions), few.num_there) == ("dev", 7, len(every.questions))
    known = {entity.id for entity in linker_of(run)}
    assert all(set(golds) <= known and golds for golds in every.golds)
    assert few == mentions_of_run(run, 7) == mentions_of_run(run, 7, run.parent / "world")
    assert set(few.questions) <= set(every.questions)


def test_a_dataset_without_such_mentions_has_none(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dim.linker.asked_mentions.SPLITS", ("nowhere",))
    assert mentions_of_run(run, 7) is None


def test_right_answers_losses_and_agreement_are_counted() -> None:
    golds = [("Q1",), ("Q2", "Q3"), ("Q4",), ("Q5",)]
    one, other = linker(["Q1", "Q3", "Q4", ""]), linker(["Q1", "Q2", "Q9", ""])
    rows = compared(one, other, AskedMentions("dev", 9, [Question(str(place)) for place in range(4)], golds))
    assert [row.way for row in rows] == ["one by one", "in batches"]
    for row in rows:
        assert (row.top1, row.same, row.lost) == ((0.75, 0.5), 0.5, pytest.approx(25))


def linker(firsts: list[str]) -> Any:
    """Answers the question "n" by the n-th of these."""

    def link_batch(questions: list[Question], top_k: int) -> list[list[Any]]:
        found = [firsts[int(question.mention)] for question in questions]
        return [[SimpleNamespace(id=each)] if each else [] for each in found]

    return SimpleNamespace(link_batch=link_batch, image_reader=SimpleNamespace(open=lambda image: image))


def test_images_are_asked_too_and_one_that_cannot_be_used_is_left_out(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pictured = demo_run(tmp_path_factory)
    reader = linker_of(pictured).image_reader
    found, blind = mentions_of_run(pictured, 10_000, reader=reader), mentions_of_run(pictured, 10_000)
    assert found is not None
    assert blind is not None
    asked = [each for each in found.questions if each.image is not None]
    assert asked
    assert not any(each.image for each in blind.questions)
    ready = with_ready_images([asked[0], Question("anna", image=str(tmp_path / "none.png"))], reader)
    assert isinstance(ready[0].image, ReadyImage)
    assert ready[1].image is None


def test_a_text_that_hangs_on_its_neighbours_is_seen() -> None:
    def encode(texts: list[str]) -> Any:
        scale = max(map(len, texts))  # one a batch
        return np.array([[round(len(text) / scale, 1), 1.0] for text in texts])

    assert least_beside(SimpleNamespace(encode_text=encode), ["a", "bb" * 9]) < 0.8  # type: ignore[arg-type]


@pytest.mark.parametrize(("options", "said"), [({"max_loss": -1.0}, "max_loss between 0 and 100"),
                                               ({"max_loss": float("nan")}, "max_loss between 0 and 100"),
                                               ({"num_mentions": 0}, "at least one mention")])  # fmt: skip
def test_what_cannot_be_measured_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Measuring(**options)


def test_the_card_says_what_computes_the_encoders() -> None:
    encoder = {"class_path": "dim.encoders.text.TransformersTextEncoder", "init_args": {"path": "x"}}
    told = encoder_names({"recipe": {"encoders": {"text_encoder": encoder, "image_encoder": None}}})
    assert told == "text_encoder: TransformersTextEncoder"
    encoder["init_args"] = {"backend": "onnx", "precision": "int8"}
    told = encoder_names({"recipe": {"encoders": {"text_encoder": encoder}}})
    assert told == "text_encoder: TransformersTextEncoder by onnx in int8"
