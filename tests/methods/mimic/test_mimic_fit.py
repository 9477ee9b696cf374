"""MIMIC from `fit` to an exported linker, on a small demo world with images."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fit_options import fit_options
from tiny_text import write_bert

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.encoders.text import TransformersTextEncoder
from dim.errors import DataError
from dim.linker import Answer, Linker
from dim.training.saved_run import open_run

TEXT = [
    "--data.text_encoder", "TinyTextEncoder", "--data.text_encoder.width", "32", "--data.text_encoder.tokens", "true",
    "--data.text_template", "{name} [SEP] {text}", "--data.name_alone", "true",
]  # fmt: skip
IMAGES = ["--data.image_encoder", "TinyImageEncoder", "--data.image_encoder.patches", "true"]
MODEL = ["--model", "MIMIC", "--model.hidden", "16", "--model.whole_width", "32", "--model.warmup_steps", "2"]
SHORT = ["--trainer.max_epochs", "1"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return demo_world(tmp_path_factory.mktemp("mimic") / "world", num_entities=120, seed=1)


@pytest.fixture(scope="module")
def run(world: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all three units; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["fit", *fit_options(world.root, folder, *TEXT, *IMAGES, *MODEL, "--trainer.max_epochs", "2")]) == 0
    return folder


def asked(world: Dataset) -> list[dict[str, object]]:
    return [
        {
            "mention": row.mention,
            "context": row.context or "",
            "image": str(world.image_root / row.images[0]) if len(row.images) else None,
        }
        for row in world.split("dev").head(12).itertuples()
    ]


def scores(answers: Sequence[Sequence[Answer]]) -> list[list[tuple[str, float]]]:
    return [[(answer.id, answer.score) for answer in each] for each in answers]


def test_training_beats_what_it_began_with_and_says_what_it_keeps(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["top1"] > 3 / metrics["kb_size"]  # chance, and a margin
    assert metrics["method"]["units"] == ["text", "vision", "cross"]
    assert metrics["method"]["entity_cache"]["bytes"] > 0


def test_a_linker_answers_as_its_run_was_evaluated_and_its_folder_as_it(
    world: Dataset, run: Path, tmp_path: Path
) -> None:
    linker = Linker.from_checkpoint(run, device="cpu")
    found = linker.link_batch(asked(world), top_k=5)
    ranks = pd.read_parquet(run / "ranks.parquet").query("split == 'dev'").head(12)
    for answers, ids, values in zip(found, ranks["top_ids"], ranks["top_scores"], strict=True):
        np.testing.assert_allclose([answer.score for answer in answers], values[:5], rtol=1e-4, atol=1e-4)
        assert [answer.id for answer in answers][:1] == list(ids[:1])
    linker.save(tmp_path / "linker")
    opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    assert scores(opened.link_batch(asked(world), top_k=5)) == scores(found)
    assert linker.evidence.keys() == {"score", "name"}


def test_entities_come_and_go_and_are_saved(world: Dataset, run: Path, tmp_path: Path) -> None:
    linker = Linker.from_checkpoint(run, device="cpu")
    first = next(iter(linker))
    picture = str(world.image_root / first.images[0]) if first.images else None
    linker.remove_entities(first.id)
    assert first.id not in {answer.id for answer in linker.link(first.name, first.text or "", top_k=len(linker))}
    for number in (1, 2):
        name = f"Zaphod Beeblebrox {'I' * number}"
        linker.add_entities({"id": f"N{number}", "name": name, "text": "president of the galaxy", "image": picture})
    before = linker.link("Zaphod Beeblebrox II", "The president of the galaxy spoke.", top_k=40)
    assert {"N1", "N2"} <= {answer.id for answer in before}
    linker.save(tmp_path / "linker")
    opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    after = opened.link("Zaphod Beeblebrox II", "The president of the galaxy spoke.", top_k=40)
    assert [answer.id for answer in after] == [answer.id for answer in before]
    np.testing.assert_allclose([each.score for each in after], [each.score for each in before], rtol=1e-5)
    assert (len(opened), first.id in opened) == (len(world.entities) + 1, False)


def test_an_entity_that_comes_back_has_its_scores_by_its_text_and_by_its_image(world: Dataset, run: Path) -> None:
    linker = Linker.from_checkpoint(run, device="cpu")
    entity = next(each for each in linker if each.images and each.text)
    questions = [each | {"candidates": [entity.id]} for each in asked(world) if each["image"]]
    before = scores(linker.link_batch(questions, top_k=1))
    linker.remove_entities(entity.id)
    linker.add_entities([entity])
    for old, new in zip(before, scores(linker.link_batch(questions, top_k=1)), strict=True):
        assert new[0] == (entity.id, pytest.approx(old[0][1], rel=1e-3, abs=1e-3))


def test_a_damaged_folder_is_refused(run: Path, tmp_path: Path) -> None:
    Linker.from_checkpoint(run, device="cpu").save(tmp_path / "linker")
    lengths = tmp_path / "linker" / "parts" / "lengths.npy"
    np.save(lengths, np.load(lengths)[:-1])
    with pytest.raises(DataError, match="lengths"):
        Linker.from_pretrained(tmp_path / "linker", device="cpu")


@pytest.mark.parametrize(
    ("encoders", "cache_type", "units"), [(TEXT, "int8", ["text"]), (IMAGES, "float32", ["vision"])]
)
def test_one_kind_of_features_has_one_unit(
    world: Dataset, tmp_path: Path, encoders: list[str], cache_type: str, units: list[str]
) -> None:
    options = [*encoders, *MODEL, "--model.cache_type", cache_type, *SHORT]
    assert main(["fit", *fit_options(world.root, tmp_path / "run", *options)]) == 0
    linker = Linker.from_checkpoint(tmp_path / "run", device="cpu")
    linker.save(tmp_path / "linker")
    opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    questions = [question for question in asked(world) if units == ["text"] or question["image"]]
    assert scores(opened.link_batch(questions)) == scores(linker.link_batch(questions))
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["method"]["units"] == units


def test_a_text_encoder_is_trained_with_it_and_its_linker_answers_by_it(world: Dataset, tmp_path: Path) -> None:
    bert = write_bert(tmp_path / "bert")
    encoder = ["--data.text_encoder", "TransformersTextEncoder", "--data.text_encoder.path", str(bert), *TEXT[6:]]
    tokens = ["--data.text_encoder.pooling", "tokens", "--data.text_encoder.max_length", "24"]
    trained = ["--data.text_encoder.train", "full", "--model.encoder_learning_rate", "0.01", *SHORT]
    assert main(["fit", *fit_options(world.root, tmp_path / "run", *encoder, *tokens, *MODEL, *trained)]) == 0
    linker = Linker.from_checkpoint(tmp_path / "run", device="cpu")
    linker.save(tmp_path / "linker")
    opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    found, again = (scores(each.link_batch(asked(world), top_k=3)) for each in (linker, opened))
    assert [[name for name, _ in each] for each in found] == [[name for name, _ in each] for each in again]
    np.testing.assert_allclose(
        *([[score for _, score in each] for each in every] for every in (found, again)), rtol=1e-3
    )
    before = TransformersTextEncoder(str(bert), pooling="tokens").encode_text(["ada"])
    after = opened.live.choices.text_encoder
    assert after is not None
    assert np.abs(after.encode_text(["ada"]) - before).max() > 1e-3


def test_another_gold_of_a_batch_is_a_negative_and_the_same_is_none(run: Path) -> None:
    task = open_run(run, "cpu")
    rows = task.datamodule.train_rows()[:40]
    gold = task.data.gold[rows]
    left_out = task._left_out(rows, gold)  # type: ignore[attr-defined]
    expected = (gold[:, None] == gold) & ~torch.eye(len(rows), dtype=torch.bool)
    assert torch.equal(left_out, expected)
    assert expected.any()
    assert not expected.all()


@pytest.mark.parametrize(
    ("encoders", "units", "said"),
    [
        ([*TEXT[:4], *TEXT[6:]], None, "the tokens of a text"),
        (TEXT[:6], None, "entity texts with their names"),
        (IMAGES[:2], None, "the patches of an image"),
        ([*IMAGES[:2], "--data.num_images", "2"], None, "one image a mention and an entity"),
        (IMAGES, "[text]", "text of both mentions and entities"),
        (IMAGES, "[]", "units (text, vision, cross)"),
    ],
)
def test_what_mimic_cannot_look_into_is_refused(
    world: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    encoders: list[str],
    units: str | None,
    said: str,
) -> None:
    chosen = [] if units is None else ["--model.units", units]
    assert main(["fit", *fit_options(world.root, tmp_path / "run", *encoders, *MODEL, *chosen, *SHORT)]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.usefixtures("quick_ranker")
def test_a_ranker_learns_of_its_scores_and_its_linker_answers_by_it(world: Dataset, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    line = ["rank", "--run", str(tmp_path / "run"), "--folds", "2", "--unseen", "folds", "--device", "cpu"]
    assert main(line) == 0
    linker = Linker.from_checkpoint(tmp_path / "run", device="cpu")
    linker.save(tmp_path / "linker")
    opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    found, again = linker.link_batch(asked(world), top_k=3), opened.link_batch(asked(world), top_k=3)
    assert scores(found) == scores(again)
    assert all(answer.probability is not None for answers in found for answer in answers)
