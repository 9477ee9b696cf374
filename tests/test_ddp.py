"""`fit`, `validate` and `predict` in two processes (gloo, 127.0.0.1) against one."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import torch
from fit_options import dim_options, fit_options, gemel_options
from tiny_lm import save_model
from tiny_text import write_bert
from waiting import HANG

from dim.data.dataset import write_dataset
from dim.demo import demo_world

TWO = ["--trainer.strategy", "ddp", "--trainer.devices", "2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ddp")
    demo_world(folder / "world", num_entities=700, seed=1)
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(
        [sys.executable, "-m", "dim", *arguments], capture_output=True, text=True, timeout=2 * HANG, env=environment
    )


def fit(place: Path, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    fields = ["--data.image_encoder", "TinyImageEncoder", "--data.name_encoder", "CharacterEncoder"]
    sizes = ["--data.text_encoder.width", "128", "--model.width", "64", "--model.warmup_steps", "5"]
    batches = ["--data.batch_size", "33", "--model.dropout", "0"]  # an odd share, and an odd rest
    negatives = ["--model.negatives", "NameNegatives", "--trainer.max_epochs", "3"]
    chosen = [*fields, *sizes, *batches, *negatives, *more]
    return run("fit", *dim_options(place / "world", place / name, *chosen))


@pytest.fixture(scope="module")
def two(place: Path) -> subprocess.CompletedProcess[str]:
    return fit(place, "two", *TWO)  # first: it embeds, too


@pytest.fixture(scope="module")
def one(place: Path, two: subprocess.CompletedProcess[str]) -> Path:
    assert two.returncode == 0, two.stderr
    assert fit(place, "one").returncode == 0
    return place / "one"


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.ddp
def test_two_processes_train_as_one(place: Path, one: Path) -> None:
    weights = [
        torch.load(place / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for name in ("one", "two")
    ]
    assert weights[0].keys() == weights[1].keys()
    # Sums in another order: the last digits of float32, carried through 3 epochs of Adam.
    assert all(torch.allclose(weights[0][name], weights[1][name], rtol=1e-3, atol=1e-3) for name in weights[0])
    losses = [
        pd.read_csv(place / name / "logs/version_0/metrics.csv")["train/loss"].dropna() for name in ("one", "two")
    ]
    assert losses[0].tolist() == pytest.approx(losses[1].tolist(), abs=1e-4)
    assert len(losses[0]) == 3
    assert metrics(place / "one")["mrr"] == pytest.approx(metrics(place / "two")["mrr"], abs=0.01)


@pytest.mark.ddp
@pytest.mark.parametrize("several", [False, True])
def test_random_triplets_and_golds_that_repeat_are_those_of_one_process(tmp_path: Path, several: bool) -> None:
    world = demo_world(tmp_path / "world", num_entities=120, num_mentions=400, seed=1)
    golds = world.mentions["entity_id"].tolist()
    assert max(Counter(gold for gold in golds if gold).values()) > 2
    if several:
        ids = world.entities["id"].tolist()
        others = [[ids[row % 120]] if gold and gold != ids[row % 120] else [] for row, gold in enumerate(golds)]
        write_dataset(
            tmp_path / "world",
            name="several",
            entities=world.entities,
            texts={},
            mentions=world.mentions.assign(other_golds=others),
            image_root=str(world.image_root),
        )
    found = []
    for name, more in (("two", TWO), ("one", [])):
        loss = ["--model.loss", "TripletMarginLoss", "--model.loss.triplets_per_anchor", "5"]
        fields = ["--data.leave_out", "[text]"] if several else []
        sizes = ["--data.text_encoder.width", "64", "--model.width", "32", "--model.dropout", "0"]
        batches = ["--data.batch_size", "33", "--trainer.max_epochs", "2"]
        done = run("fit", *dim_options(tmp_path / "world", tmp_path / name, *loss, *fields, *sizes, *batches, *more))
        assert done.returncode == 0, done.stderr
        found.append(pd.read_csv(tmp_path / name / "logs/version_0/metrics.csv")["train/loss"].dropna().tolist())
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.ddp
def test_two_processes_evaluate_a_checkpoint_as_one(place: Path, one: Path) -> None:
    before, ranks = metrics(one), pd.read_parquet(one / "ranks.parquet")
    done = run("validate", "--config", str(one / "config.yaml"), *TWO)
    assert done.returncode == 0, done.stderr
    after = metrics(one)
    for name in ("mrr", "top1", "top5", "n", "num_nil"):
        assert after[name] == pytest.approx(before[name], abs=1e-6)
    again = pd.read_parquet(one / "ranks.parquet")
    pd.testing.assert_frame_equal(again[["mention_id", "gold", "rank"]], ranks[["mention_id", "gold", "rank"]])


@pytest.mark.ddp
def test_two_processes_answer_each_mention_once_and_in_order(place: Path, one: Path) -> None:
    answers = {}
    for name, more in (("one", []), ("two", TWO)):
        done = run("predict", "--config", str(one / "config.yaml"), "--data.predict_split", "train", *more)
        assert done.returncode == 0, done.stderr
        answers[name] = [json.loads(line) for line in (one / "predictions" / "train.jsonl").read_text().splitlines()]
    assert len(answers["one"]) > 256, "one batch: only one process had work"
    assert [row["mention_id"] for row in answers["two"]] == [row["mention_id"] for row in answers["one"]]
    for mine, theirs in zip(answers["one"], answers["two"], strict=True):
        assert [a["score"] for a in mine["answers"]] == pytest.approx([a["score"] for a in theirs["answers"]], abs=2e-6)


@pytest.mark.ddp
def test_one_process_speaks_for_both_and_a_run_is_not_replaced_by_the_second(
    place: Path, two: subprocess.CompletedProcess[str]
) -> None:
    assert two.stdout.count("written:") == 1
    assert two.stderr.count("entity_image embedded") + two.stdout.count("entity_image embedded") == 1
    assert [path.name for path in (place / "two/logs").iterdir()] == ["version_0"]
    again = fit(place, "two", *TWO)
    assert (again.returncode, again.stderr.count("a finished run")) == (1, 1)
    replaced = fit(place, "two", *TWO, "--overwrite", "true")
    assert replaced.returncode == 0, replaced.stderr


@pytest.mark.ddp
@pytest.mark.parametrize("train", ["full", "lora"])
def test_an_encoder_that_is_trained_in_two_processes_is_that_of_one(place: Path, tmp_path: Path, train: str) -> None:
    bert = write_bert(tmp_path / "bert")
    config = json.loads((bert / "config.json").read_text())
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (bert / "config.json").write_text(json.dumps(config | without))
    states = []
    for name, more in (("two", [*TWO, "--data.graph_gb", "0"]), ("one", [])):
        encoder = ["--data.text_encoder", "TransformersTextEncoder", "--data.text_encoder.path", str(bert)]
        small = ["--model", "DIM", "--model.width", "16", "--model.num_heads", "2", "--model.dropout", "0"]
        rates = ["--model.encoder_learning_rate", "0.001", "--trainer.max_epochs", "1", "--data.batch_size", "33"]
        options = [*encoder, "--data.text_encoder.train", train, *small, *rates, *more]
        done = run("fit", *fit_options(place / "world", tmp_path / name, *options))
        assert done.returncode == 0, done.stderr
        states.append(torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"])
    assert any(name.startswith("trained_encoders.") for name in states[0])
    assert all(torch.allclose(states[0][name], states[1][name], rtol=1e-2, atol=1e-3) for name in states[0])


@pytest.mark.ddp
def test_a_generative_run_in_two_processes_is_that_of_one(tmp_path: Path) -> None:
    demo_world(tmp_path / "world", num_entities=120, seed=1)
    save_model(tmp_path / "lm")
    for name, more in (("two", TWO), ("one", [])):
        chosen = ["--model.examples", "NoExamples", "--trainer.max_epochs", "2", *more]
        batches = ["--data.batch_size", "5"]  # an odd share
        done = run("fit", *gemel_options(tmp_path / "world", tmp_path / name, *batches, *chosen))
        assert done.returncode == 0, done.stderr
    losses = [
        pd.read_csv(tmp_path / name / "logs/version_0/metrics.csv")["train/loss"].dropna() for name in ("one", "two")
    ]
    assert losses[0].tolist() == pytest.approx(losses[1].tolist(), abs=1e-4)
    assert metrics(tmp_path / "one")["mrr"] == pytest.approx(metrics(tmp_path / "two")["mrr"], abs=0.01)
    shares = [metrics(tmp_path / name)["method"]["kb_name_share"] for name in ("one", "two")]
    assert shares == [1.0, 1.0]
