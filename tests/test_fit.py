"""The whole path: the real `main(["fit", …])` on a small demo world, and what comes after it."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from fit_options import NAMES_AND_IMAGES, dim_options

from dim.__main__ import main
from dim.demo import demo_world
from dim.evaluation.metrics import summarize_ranks
from dim.methods.contrastive.module import DIM


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    demo_world(folder / "world", num_entities=400, seed=1)
    return folder


def options(place: Path, run: str, *more: str) -> list[str]:
    sizes = ["--data.text_encoder.width", "512", "--model.width", "256", "--model.warmup_steps", "5"]
    return dim_options(place / "world", place / run, *NAMES_AND_IMAGES, *sizes, *more)


@pytest.fixture(scope="module")
def run(place):
    epochs = ["--trainer.max_epochs", "10", "--model.negatives", "NameNegatives", "--model.negatives.per_row", "4"]
    assert main(["fit", *options(place, "run", *epochs)]) == 0
    return place / "run"


def test_fit_beats_the_string_floor_and_its_frozen_vectors(run):
    metrics = json.loads((run / "metrics.json").read_text())
    n = metrics["n"]
    margin = 1 / n**0.5  # two standard errors of a share at most
    assert metrics["top1"] > metrics["floor"]["top1"] + margin
    assert metrics["top1"] > metrics["frozen"]["top1"] + margin


def test_metrics_name_the_data_the_protocol_and_where_they_come_from(run, place):
    metrics = json.loads((run / "metrics.json").read_text())
    dataset = json.loads((place / "world" / "dataset.json").read_text())
    assert metrics["split"] == "dev"
    assert (metrics["dataset_hash"], metrics["kb_hash"]) == (dataset["hash"], dataset["kb_hash"])
    assert (metrics["kb_size"], metrics["protocol"], metrics["seed"]) == (400, "full_kb", 0)
    assert metrics["n"] + metrics["num_nil"] == dataset["num_mentions"]["dev"]
    assert metrics["num_nil"] > 0
    assert metrics["candidate_recall"] == 1.0
    assert {"commit", "versions", "hardware", "ties", "features", "config", "mrr", "top5", "top20"} <= set(metrics)


def test_ranks_hold_one_row_a_mention_and_give_the_metrics(run):
    metrics = json.loads((run / "metrics.json").read_text())
    ranks = pd.read_parquet(run / "ranks.parquet")
    in_kb = ranks[ranks["gold"].notna()]
    assert ranks["mention_id"].is_unique
    assert (len(in_kb), len(ranks) - len(in_kb)) == (metrics["n"], metrics["num_nil"])
    assert summarize_ranks(in_kb["rank"])["mrr"] == pytest.approx(metrics["mrr"])
    assert summarize_ranks(in_kb["floor_rank"])["top1"] == pytest.approx(metrics["floor"]["top1"])
    first = in_kb[in_kb["rank"] == 1]
    assert (first["top_ids"].str[0] == first["gold"]).all()
    assert ranks.loc[ranks["gold"].isna(), "rank"].isna().all()
    assert all(list(scores) == sorted(scores, reverse=True) for scores in ranks["top_scores"])


def test_the_run_folder_holds_config_logs_and_checkpoints(run):
    assert (run / "config.yaml").exists()
    assert (run / "checkpoints" / "best.ckpt").exists()
    assert (run / "checkpoints" / "last.ckpt").exists()
    log = pd.read_csv(run / "logs" / "version_0" / "metrics.csv")
    assert {"train/loss", "tune/mrr", "tune/top1"} <= set(log.columns)


def test_a_checkpoint_loads_without_unpickling(run):
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["dim"]["dataset"] == "demo"


def test_validate_and_test_from_the_runs_own_config(run, capsys):
    before = json.loads((run / "metrics.json").read_text())
    assert main(["validate", "--config", str(run / "config.yaml")]) == 0
    again = json.loads((run / "metrics.json").read_text())
    assert again["mrr"] == pytest.approx(before["mrr"], abs=1e-9)
    assert main(["test", "--config", str(run / "config.yaml")]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["split"], metrics["mrr"], set(metrics["results"])) == ("dev", again["mrr"], {"dev", "test"})
    assert set(pd.read_parquet(run / "ranks.parquet")["split"]) == {"dev", "test"}
    shown = capsys.readouterr().out
    assert "names only (string floor)" in shown
    assert "Top-1 by type of mention" in shown


def test_validate_under_another_protocol_leaves_what_fit_found(run, capsys):
    before = json.loads((run / "metrics.json").read_text())
    dev = pd.read_parquet(run / "ranks.parquet").query("split == 'dev' and protocol == 'full_kb'")
    few = ["--data.protocol", "Candidates", "--data.protocol.size", "5"]
    assert main(["validate", "--config", str(run / "config.yaml"), *few]) == 0
    after = json.loads((run / "metrics.json").read_text())
    assert {**before, "results": None} == {**after, "results": None}
    assert before["results"]["dev"]["full_kb"] == after["results"]["dev"]["full_kb"]
    found = after["results"]["dev"]["candidates(names, 5)"]
    assert found["candidate_recall"] < 1
    ranks = pd.read_parquet(run / "ranks.parquet")
    assert (
        ranks.query("split == 'dev' and protocol == 'full_kb'")
        .reset_index(drop=True)
        .equals(dev.reset_index(drop=True))
    )
    assert main(["report", str(run)]) == 0
    assert f"{100 * before['top1']:.1f}" in capsys.readouterr().out
    assert main(["report", str(run), "--protocol", "candidates(names, 5)"]) == 0
    assert f"{100 * found['top1']:.1f}" in capsys.readouterr().out
    assert main(["report", str(run), "--protocol", "candidates(names, 6)"]) == 1
    assert "there are: full_kb; candidates(names, 5)" in capsys.readouterr().err


def test_a_run_records_what_it_is_apart_from_seed_place_and_machine(run):
    identity = json.loads((run / "metrics.json").read_text())["identity"]
    assert identity["method"]["class"] == "DIM"
    assert identity["method"]["options"]["width"] == 256
    assert identity["method"]["options"]["negatives"]["options"]["per_row"] == 4
    assert identity["features"]["text_encoder"].startswith("TinyTextEncoder")
    assert (identity["training"]["batch_size"], identity["training"]["max_epochs"]) == (64, 10)
    assert identity["training"]["protocol"] == {"class": "FullKB", "options": {}}
    assert identity["training"]["early_stopping"]["patience"] == 10
    told = json.dumps(identity)
    for name in ("seed", "resident_gb", "num_workers", "cache_dir", "device", "accelerator", "logger", "root"):
        assert f'"{name}"' not in told


def test_predict_answers_every_mention_of_a_split(run):
    assert main(["predict", "--config", str(run / "config.yaml"), "--data.predict_split", "tune"]) == 0
    lines = [json.loads(line) for line in (run / "predictions" / "tune.jsonl").read_text().splitlines()]
    dataset = json.loads(
        (Path(json.loads((run / "metrics.json").read_text())["config"]["data"]["root"]) / "dataset.json").read_text()
    )
    assert len(lines) == dataset["num_mentions"]["tune"]
    assert len(lines[0]["answers"]) == 20
    assert {"id", "name", "score"} == set(lines[0]["answers"][0])
    assert main(["predict", "--config", str(run / "config.yaml"), "--data.predict_split", "dev"]) == 0
    kept = (run / "predictions" / "tune.jsonl").read_bytes()
    assert [json.loads(line) for line in kept.splitlines()] == lines  # an answered split stays beside the next one
    facts = {split: json.loads((run / "predictions" / f"{split}.json").read_text()) for split in ("tune", "dev")}
    assert facts["tune"]["sha256"] == hashlib.sha256(kept).hexdigest()
    assert facts["dev"]["checkpoint"]["weights"] == facts["tune"]["checkpoint"]["weights"]


def test_report_and_show_read_the_run(run, place, capsys):
    assert main(["report", str(run), str(run), "--by", "type"]) == 0
    assert "Top-1 by type" in capsys.readouterr().out
    mention_id = pd.read_parquet(run / "ranks.parquet")["mention_id"].iloc[0]
    assert main(["show", mention_id, str(place / "world"), "--run", str(run)]) == 0
    assert mention_id in capsys.readouterr().out


def test_fit_refuses_to_write_over_a_run(run, place, capsys):
    assert main(["fit", *options(place, "run")]) == 1
    assert "a finished run" in capsys.readouterr().err
    assert (run / "metrics.json").exists()


def test_a_checkpoint_of_another_dataset_is_refused(run, place, capsys):
    demo_world(place / "other", num_entities=300, seed=2)
    arguments = options(place, "elsewhere", "--ckpt_path", str(run / "checkpoints" / "best.ckpt"))
    arguments[arguments.index("--data.root") + 1] = str(place / "other")
    assert main(["validate", *arguments]) == 1
    error = capsys.readouterr().err
    assert "a checkpoint whose kb_hash is" in error
    assert "fit again" in error


def test_a_checkpoint_of_another_network_is_refused(run, place, capsys):
    arguments = options(place, "elsewhere", "--ckpt_path", str(run / "checkpoints" / "best.ckpt"))
    assert main(["validate", *arguments, "--model.width", "32"]) == 1
    assert "weights of this network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--model.learning_rat", "0.1"], r"Option 'model.learning_rat' is not accepted[\s\S]*mean learning_rate\?"),
        (["--model.learning_rate", "fast"], r"fast"),
        (["--data.batch_sise", "64"], r"Did you mean --data.batch_size\?"),
        (["--model", "DIMM"], r"Did you mean DIM\?"),
        (["--data.batch_size", "1"], r"a batch size of at least 2"),
        (["--model.fusion", "atention"], r"atention"),
        (["--model.mention_fields", "[mention, smell]"], r"no smell"),
        (["--model.loss", "NPairsLoss"], r"NPairsLoss: ref_emb is not supported"),
    ],
)
def test_wrong_options_say_what_was_expected(place, capsys, wrong, message):
    assert main(["fit", *options(place, "wrong"), *wrong]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_no_encoder_and_no_run_name_what_to_do(place, capsys):
    assert main(["fit", "--run", str(place / "x"), "--data.root", str(place / "world"), "--model", "DIM"]) == 1
    assert "--data.text_encoder" in capsys.readouterr().err
    assert main(["test", *options(place, "never")]) == 1
    assert "Run dim fit with the same --run first" in capsys.readouterr().err


@pytest.mark.parametrize("loss", ["NTXentLoss", "ReleasedNPair"])
def test_other_losses_train_by_name(place, loss):
    arguments = options(place, loss, "--trainer.max_epochs", "1", "--model.loss", loss, "--data.name_encoder", "null")
    assert main(["fit", *arguments, "--model.modality_dropout", "0.2"]) == 0
    assert json.loads((place / loss / "metrics.json").read_text())["n"] > 0


def test_candidates_are_a_protocol_of_their_own(place):
    arguments = options(place, "candidates", "--trainer.max_epochs", "1", "--data.protocol", "Candidates")
    assert main(["fit", *arguments, "--data.protocol.size", "5", "--model.negatives", "MinedNegatives"]) == 0
    metrics = json.loads((place / "candidates" / "metrics.json").read_text())
    assert metrics["protocol"] == "candidates(names, 5)"
    assert metrics["candidate_recall"] < 1
    assert metrics["top20"] == pytest.approx(metrics["candidate_recall"])


def test_what_negatives_are_mined_by_is_let_go_before_the_first_step(place, monkeypatch):
    sizes, loss_of = [], DIM.loss_of
    monkeypatch.setattr(DIM, "loss_of", lambda task, rows: sizes.append(task.kb_vectors.numel()) or loss_of(task, rows))
    few = ["--trainer.max_epochs", "1", "--data.image_encoder", "null", "--model.negatives", "MinedNegatives"]
    assert main(["fit", *options(place, "mined", *few)]) == 0
    assert sizes
    assert not any(sizes)


@pytest.mark.long  # test_resumed.py has what needs no kill
def test_a_killed_training_resumes_and_ends_with_the_weights_of_an_undisturbed_one(place):
    epochs = ["--trainer.max_epochs", "5", "--model.negatives", "MinedNegatives", "--model.modality_dropout", "0.3"]
    assert main(["fit", *options(place, "undisturbed", *epochs)]) == 0
    command = [sys.executable, "-m", "dim", "fit", *options(place, "killed", *epochs)]
    last = place / "killed" / "checkpoints" / "last.ckpt"
    path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    done = subprocess.run([*command, "--trainer.callbacks", "failing.Kill"], env=os.environ | path, **quiet)
    assert done.returncode == -signal.SIGKILL
    assert torch.load(last, weights_only=True)["epoch"] == 0
    assert main(["fit", *options(place, "killed", *epochs, "--ckpt_path", "last")]) == 0
    one, other = (
        torch.load(place / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("undisturbed", "killed")
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.long  # test_wandb_run.py has what WandbRun keeps
def test_wandb_runs_offline_without_an_account(place, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    arguments = options(place, "wandb", "--trainer.max_epochs", "1", "--trainer.logger", "WandbLogger")
    assert main(["fit", *arguments, "--trainer.logger.offline", "true", "--trainer.logger.project", "dim"]) == 0
    assert list((place / "wandb" / "wandb").glob("offline-run-*/run-*.wandb"))
