"""Contexts that are longer than the encoder reads, from `dim fit` to the answers of a linker's folder."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from fit_options import fit_options
from tiny_text import write_bert

from dim import Linker
from dim.__main__ import main
from dim.core.folder_files import read_json, read_yaml
from dim.data.dataset import Dataset, write_dataset
from dim.evaluation.result_files import BEST, read_results
from dim.linker import Question
from dim.search.scores import scores_by_slice
from dim.training.saved_run import open_run

NAMES = ["ada", "bo", "cleo", "dan", "eve", "fay", "gus", "hal"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of long contexts, in half of which the mention stands behind the 64 letters that the encoder reads."""
    root = tmp_path_factory.mktemp("reach")
    rows = []
    for number, split in enumerate([*["train"] * 16, *["tune", "dev", "test"] * 4]):
        name = NAMES[number % len(NAMES)]
        far = "so long ago " * 9 if number % 2 else ""
        context = f"{far}{name} {'sings' if number % 3 else 'paints'} {'and so on ' * 9}"
        rows.append({"id": f"m{number}", "split": split, "mention": name, "context": context})
        rows[-1] |= {"start": len(far), "end": len(far) + len(name), "entity_id": f"Q{number % len(NAMES)}"}
    entities = pd.DataFrame({"id": [f"Q{n}" for n in range(len(NAMES))], "name": NAMES})
    texts = {"brief": pd.DataFrame({"entity_id": entities["id"], "text": [f"{name} sings" for name in NAMES]})}
    write_dataset(root / "world", name="far", entities=entities, texts=texts, mentions=pd.DataFrame(rows))
    write_bert(root / "bert")
    return root


def fit(place: Path, run: str, *more: str) -> Path:
    encoder = ["--data.text_encoder", "TransformersTextEncoder", "--data.text_encoder.path", str(place / "bert")]
    sizes = ["--model", "DIM", "--model.width", "16", "--model.warmup_steps", "1", "--trainer.max_epochs", "1"]
    assert main(["fit", *fit_options(place / "world", place / run, *encoder, *sizes, *more)]) == 0
    return place / run


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    return fit(place, "auto")


@pytest.fixture(scope="module")
def old(place: Path) -> Path:
    """A run as versions without the option left it."""
    folder = fit(place, "old", "--data.context_reach", "null")
    config = (folder / "config.yaml").read_text(encoding="utf-8")
    assert config.count("  context_reach: null\n") == 1
    (folder / "config.yaml").write_text(config.replace("  context_reach: null\n", ""), encoding="utf-8")
    return folder


def test_a_run_says_that_it_cut_contexts_and_its_linkers_read_questions_as_it_read_its_rows(
    run: Path, tmp_path: Path
) -> None:
    assert read_yaml(run / "config.yaml", dict, "it", "")["data"]["context_reach"] == "auto"
    task = open_run(run, "cpu")
    assert task.data.fingerprints["context_reach"] == "auto"
    linker = Linker.from_checkpoint(run, device="cpu")
    linker.save(tmp_path / "folder")
    assert read_json(tmp_path / "folder/linker.json", dict, "it", "")["about"]["recipe"]["context_reach"] == "auto"
    rows = task.data.dataset.mentions.head(12)
    scores = scores_by_slice(task.scores_of(torch.arange(len(rows)))).whole().numpy()
    questions = [Question(row.mention, row.context, span=(int(row.start), int(row.end))) for row in rows.itertuples()]
    for each in (linker, Linker.from_pretrained(tmp_path / "folder", device="cpu")):
        answers = each.link_batch(questions, len(NAMES))
        found = [[{one.id: one.score for one in of}[f"Q{n}"] for n in range(len(NAMES))] for of in answers]
        assert found == [pytest.approx(row, abs=1e-5) for row in scores.tolist()]


def test_a_run_of_before_reads_contexts_from_their_start_as_it_did(old: Path, place: Path) -> None:
    before = json.loads((old / "metrics.json").read_text(encoding="utf-8"))
    assert "context_reach" not in before["features"]
    task = open_run(old, "cpu")
    assert task.datamodule.choices.context_reach is None
    linker = Linker.from_checkpoint(old, device="cpu")
    linker.save(place / "old_folder")
    assert linker.live.choices.context_reach is None
    assert Linker.from_pretrained(place / "old_folder", device="cpu").live.choices.context_reach is None
    assert main(["validate", "--config", str(old / "config.yaml"), "--trainer.enable_progress_bar", "false"]) == 0
    after = json.loads((old / "metrics.json").read_text(encoding="utf-8"))
    assert (after["mrr"], after["features"]) == (before["mrr"], before["features"])


def test_a_fit_of_before_goes_on_as_it_began(old: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "--ckpt_path", "last", "--trainer.max_epochs", "2"
    again = fit(place, "old", *more)
    assert read_yaml(again / "config.yaml", dict, "it", "")["data"]["context_reach"] is None
    assert "cut around the mention" not in capsys.readouterr().err


def test_a_run_of_one_text_a_side_answers_as_its_rows_and_other_texts_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["--model.mention_fields", "[context]", "--model.entity_fields", "[text]", "--model.fusion", "linear"]
    template = ["--data.text_template", "{name} . {text}"]
    run = fit(place, "one_text", *one, *template, "--data.name_alone", "true")
    task = open_run(run, "cpu")
    assert {"text_template": "{name} . {text}", "name_alone": "True"}.items() <= task.data.fingerprints.items()
    Linker.from_checkpoint(run, device="cpu").save(tmp_path / "folder")
    linker = Linker.from_pretrained(tmp_path / "folder", device="cpu")
    rows = task.data.dataset.mentions.head(4)
    scores = scores_by_slice(task.scores_of(torch.arange(len(rows)))).whole().numpy()
    answers = linker.link_batch([Question(row.mention, row.context) for row in rows.itertuples()], len(NAMES))
    found = [[{one.id: one.score for one in of}[f"Q{n}"] for n in range(len(NAMES))] for of in answers]
    assert found == [pytest.approx(row, abs=1e-5) for row in scores.tolist()]
    assert linker.link("ada")[0].score != 0  # no context: the name alone
    capsys.readouterr()
    for other, said in ((["--data.text_template", "{text}"], "text_template"), (["--data.name_alone", "false"], "not")):
        command = ["validate", "--config", str(run / "config.yaml"), *other, "--ckpt_path", "best"]
        assert main(command) == 1
        assert said in capsys.readouterr().err


def test_of_contexts_that_are_read_whole_a_run_is_what_it_was(place: Path) -> None:
    folder = fit(place, "mentions_alone", "--data.context_template", "{mention}")
    assert "context_reach" not in open_run(folder, "cpu").data.fingerprints


def test_weights_of_cut_contexts_answer_mentions_whose_contexts_are_read_whole(run: Path, place: Path) -> None:
    far = Dataset(place / "world")
    short = far.mentions.assign(context=far.mentions["mention"], start=0, end=None)
    texts = {"brief": far.text_table("brief")}
    write_dataset(place / "near", name="near", entities=far.entities, texts=texts, mentions=short)
    other = ["--data.root", str(place / "near"), "--run", str(place / "on_near"), "--ckpt_path", str(run / BEST)]
    assert main(["validate", "--config", str(run / "config.yaml"), *other]) == 0
    assert "context_reach" not in read_results(place / "on_near").entries["dev", "full_kb"]["features"]
    assert main(["validate", "--config", str(run / "config.yaml"), *other, "--data.context_reach", "null"]) == 1
