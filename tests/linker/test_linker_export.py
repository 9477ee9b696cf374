"""What `dim export` has written opens: a new process tried it, and where it did not, nothing was replaced."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from demo_run import linker_of
from safetensors.torch import load_file
from tiny_text import write_bert

from dim.__main__ import main
from dim.demo import demo_world
from dim.encoders.text import TransformersTextEncoder
from dim.errors import DataError
from dim.linker import Linker
from dim.linker.answer import Answer
from dim.linker.backend_check import agreement
from dim.linker.reopened import check_opens, check_same

#: A user's own encoder, which reads a folder of its own.
OWN = """
from pathlib import Path
import numpy as np
from dim.encoders.base import TextEncoder

class Spelled(TextEncoder):
    def __init__(self, path: str) -> None:
        self.letters = (Path(path) / "data" / "letters.bin").read_text()

    @property
    def width(self):
        return len(self.letters)

    @property
    def fingerprint(self):
        return f"Spelled({self.letters})"

    def encode_text(self, texts):
        return np.array([[1 + text.lower().count(letter) for letter in self.letters] for text in texts], np.float32)
"""


def fit(place: Path, run: str, encoder: str, path: Path) -> Path:
    arguments = [
        "--run", str(place / run),
        "--data.root", str(place / "world"),
        "--data.cache_dir", str(place / "cache"),
        "--data.text_encoder", encoder,
        "--data.text_encoder.path", str(path),
        "--model", "DIM",
        "--model.width", "32",
        "--trainer.max_epochs", "1",
        "--trainer.accelerator", "cpu",
        "--trainer.enable_progress_bar", "false",
    ]  # fmt: skip
    assert main(["fit", *arguments]) == 0
    return place / run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small world, and a module `own_encoders` that can be imported while the tests run."""
    place = tmp_path_factory.mktemp("export")
    demo_world(place / "world", num_entities=120, seed=1, num_images=0)
    (place / "modules").mkdir()
    (place / "modules" / "own_encoders.py").write_text(OWN)
    sys.path.insert(0, str(place / "modules"))
    yield place
    sys.path.remove(str(place / "modules"))
    sys.modules.pop("own_encoders", None)


@pytest.fixture(scope="module")
def own(place: Path) -> Path:
    """A run with the user's own encoder."""
    letters = place / "letters" / "data"
    letters.mkdir(parents=True)
    torch.save({}, place / "letters" / "other.txt")
    (letters / "letters.bin").write_text("aeioustrn")
    return fit(place, "own", "own_encoders.Spelled", place / "letters")


def test_a_class_outside_dim_is_refused_with_a_remedy_and_what_stood_there_stays(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(own), str(tmp_path / "linker")]) == 1
    said = capsys.readouterr().err
    assert "found    own_encoders.Spelled" in said
    assert "--trust own_encoders" in said
    assert not any(tmp_path.iterdir())
    with pytest.raises(DataError, match=r'trusted=\("own_encoders\.",\) in Python'):
        linker_of(own, ("own_encoders",)).save(tmp_path / "linker", trusted=("own_encoders_of_another.", "own"))


def test_a_class_that_is_trusted_by_name_is_exported_and_made_again(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "linker"
    assert main(["export", str(own), str(folder), "--trust", "own_encoders"]) == 0
    shown = capsys.readouterr().out
    assert "opened: in a new process" in shown
    assert all(line.endswith("--trust own_encoders") for line in shown.splitlines()[-2:])  # what is done next
    assert json.loads((folder / "linker.json").read_text())["about"]["trusted"] == ["own_encoders."]
    assert (folder / "encoders" / "text_encoder" / "data" / "letters.bin").read_text() == "aeioustrn"
    with pytest.raises(
        DataError, match=r"own_encoders\.Spelled as text_encoder\nto do    If you trust it[\s\S]*--trust own_encoders"
    ):
        Linker.from_pretrained(folder)  # what the folder says of trust does not count
    name = next(iter(linker_of(own, ("own_encoders",)).knowledge)).name
    again = Linker.from_pretrained(folder, device="cpu", trusted=("own_encoders.",))
    expected = [answer.score for answer in linker_of(own, ("own_encoders",)).link(name)]
    assert [answer.score for answer in again.link(name)] == pytest.approx(expected, abs=1e-6)
    again.save(tmp_path / "again")  # once trusted, it is so where it goes
    ask = ["link", "--model", str(tmp_path / "again"), "--mention", name]
    assert main(ask) == 1
    assert main([*ask, "--trust", "other,own_encoders"]) == 0
    assert main(["index", str(tmp_path / "again"), "--trust", "own_encoders"]) == 0
    asked = {"--input": tmp_path / "in.jsonl", "--output": tmp_path / "out.jsonl"}
    asked["--input"].write_text(json.dumps({"mention": name}))
    options = [str(part) for option in asked.items() for part in option]
    assert main(["link", "--model", str(tmp_path / "again"), "--trust", "own_encoders", *options]) == 0


def test_pickled_weights_become_safetensors_and_the_linker_answers_as_before(place: Path, tmp_path: Path) -> None:
    bert = write_bert(tmp_path / "bert")
    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    run = fit(place, "pickled", "TransformersTextEncoder", bert)
    assert main(["export", str(run), str(tmp_path / "linker"), "--verify", "false"]) == 0
    files = {path.name for path in (tmp_path / "linker" / "encoders" / "text_encoder").iterdir()}
    assert "model.safetensors" in files
    assert "pytorch_model.bin" not in files
    linker = linker_of(run)
    shutil.rmtree(bert)
    again = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    asked = [{"mention": entity.name} for entity in list(linker.knowledge)[:9]]
    found = [[answer.id for answer in answers] for answers in again.link_batch(asked)]
    assert all(len(ids) == 5 for ids in found)
    again.save(tmp_path / "again")
    third = Linker.from_pretrained(tmp_path / "again", device="cpu")
    assert [[answer.id for answer in answers] for answers in third.link_batch(asked)] == found


def test_a_linker_that_does_not_open_replaces_nothing(own: Path, tmp_path: Path) -> None:
    linker, folder = linker_of(own, ("own_encoders",)), tmp_path / "linker"
    linker.save(folder, trusted=("own_encoders",))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def check(written: Path) -> None:
        check_opens(written, linker)  # not told to trust anything

    with pytest.raises(DataError, match=r"opens again in a new process[\s\S]*own_encoders\.Spelled[\s\S]*--trust"):
        linker.save(folder, trusted=("own_encoders",), check=check)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["linker"]


def test_other_answers_than_the_linkers_are_refused(own: Path) -> None:
    linker = linker_of(own, ("own_encoders",))
    answers = linker.link(next(iter(linker.knowledge)).name)
    same = [(answer.id, answer.score + 1e-6) for answer in answers]
    check_same(answers, same)
    for other in (same[:-1], [*same[:-1], (same[-1][0], same[-1][1] - 0.01)], []):
        with pytest.raises(DataError, match=r"other answers \(\[[\s\S]*fit again"):
            check_same(answers, other)


@pytest.fixture(scope="module")
def bert(place: Path) -> Path:
    """A run with a tiny BERT."""
    return fit(place, "bert", "TransformersTextEncoder", write_bert(place / "models" / "bert"))


@pytest.fixture
def caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of caches."""
    folder = tmp_path_factory.getbasetemp() / "caches"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.mark.long
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_the_folder_of_another_backend_has_its_export_and_answers_as_the_run_does(
    place: Path, bert: Path, caches: Path, backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    folder = place / f"linker_{backend}"
    assert main(["export", str(bert), str(folder), "--backend", backend]) == 0
    assert f"{backend} in fp32; 100.0% of 120 first answers the same" in " ".join(capsys.readouterr().out.split())
    shutil.rmtree(caches)
    monkeypatch.setattr(torch.export, "export", None)  # what stands in the folder is enough
    moved = shutil.move(folder, place / f"moved_{backend}")
    opened = Linker.from_pretrained(moved)
    encoder = opened.live.choices.text_encoder
    assert isinstance(encoder, TransformersTextEncoder)
    assert encoder.backend == backend
    questions = [("anna", "anna sees the town"), ("b", "")]
    ours, runs = ([each.link(*asked) for asked in questions] for each in (opened, linker_of(bert)))
    assert agreement(ours, runs).same_lists == 1
    assert agreement(ours, runs).apart < 1e-4
    opened.save(place / f"again_{backend}")
    assert agreement([Linker.from_pretrained(place / f"again_{backend}").link("anna")], [opened.link("anna")]).same == 1


def test_an_encoder_without_backends_is_told(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(own), str(tmp_path / "x"), "--trust", "own_encoders", "--backend", "onnx"]) == 1
    assert "an encoder with the option backend" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.long
def test_a_folder_that_answers_otherwise_is_not_written(
    place: Path, bert: Path, caches: Path, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    other = agreement([[answer("Q1")]], [[answer("Q2")]])
    monkeypatch.setattr("dim.linker.backend_check.agreement", lambda *_: other)
    assert main(["export", str(bert), str(tmp_path / "x"), "--backend", "onnx"]) == 1
    assert "0.0% of 1 first answers the same" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_agreement_counts_first_answers_lists_and_how_far_probabilities_are_apart() -> None:
    ours = [[answer("Q1", 0.9), answer("Q2", 0.1)], [answer("Q1", 0.5), answer("Q2", 0.5)], [answer("Q3", 0.2)], []]
    others = [[answer("Q1", 0.8), answer("Q2", 0.2)], [answer("Q2", 0.5), answer("Q1", 0.5)], [answer("Q4", 0.9)], []]
    found = agreement(ours, others)
    assert (found.num_asked, found.same, found.same_lists) == (4, 0.5, 0.5)
    assert found.apart == pytest.approx(0.1)


def answer(entity_id: str, probability: float = 1.0) -> Answer:
    return Answer(entity_id, entity_id, None, 0.0, probability, {})
