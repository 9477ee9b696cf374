"""Batch predict: the blocks that a cluster computes are what the trainer answers."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fit_options import fit_options
from test_configs import instantiated, parsed
from test_fit import options

import dim.training.predict
from dim.__main__ import main
from dim.core.jobs import Workplace
from dim.demo import demo_world
from dim.errors import CheckpointError
from dim.training.predict import WORKPLACE, predict_on_cluster


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    demo_world(folder / "world", num_entities=300, seed=1)
    arguments = ["--trainer.max_epochs", "2", "--data.predict_split", "dev"]
    assert main(["fit", *options(folder, "run", *arguments)]) == 0
    assert main(["predict", "--config", str(folder / "run" / "config.yaml")]) == 0
    (folder / "run" / "predictions" / "dev.jsonl").rename(folder / "by_trainer.jsonl")
    return folder


def lines(path: Path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def same(one, other):
    """The same mentions, and the same answers but for what ties within 1e-5."""
    assert [line["mention_id"] for line in one] == [line["mention_id"] for line in other]
    for a, b in zip(one, other, strict=True):
        scores = [[answer["score"] for answer in line["answers"]] for line in (a, b)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)
        gaps = [x - y for x, y in zip(scores[0], scores[0][1:], strict=False)]
        if min(gaps) > 1e-4:
            assert [answer["id"] for answer in a["answers"]] == [answer["id"] for answer in b["answers"]]
    return True


def opened(place):
    cli = parsed(place / "other", place / "run" / "config.yaml")
    cli.datamodule.linking_data.to(cli.trainer.strategy.root_device, 1e9)
    return cli.model, cli.datamodule, cli.config_dump


def test_blocks_answer_as_the_trainer_does_and_go_on_where_they_stood(place, monkeypatch):
    monkeypatch.setattr(dim.training.predict, "BLOCK_SIZE", 16)
    best, run = place / "run" / "checkpoints" / "best.ckpt", place / "run"
    done = []
    write = Workplace.write

    def broken(work, block):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(block.index)
        write(work, block)

    monkeypatch.setattr(Workplace, "write", broken)
    with pytest.raises(KeyboardInterrupt):
        predict_on_cluster(*opened(place), best, run)
    monkeypatch.setattr(Workplace, "write", lambda work, block: (done.append(block.index), write(work, block)))
    predict_on_cluster(*opened(place), best, run)
    assert len(done) == len(set(done)) > 3
    assert same(lines(run / "predictions" / "dev.jsonl"), lines(place / "by_trainer.jsonl"))
    assert not (run / WORKPLACE).exists()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return demo_world(tmp_path_factory.mktemp("other") / "world", num_entities=300, num_images=0, seed=1).root


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ((), ("--model.k1", "0.1")),
        pytest.param((), ("--data.protocol", "Candidates", "--data.protocol.size", "5"), marks=pytest.mark.long),
        (("--data.shuffle", "[text]"), ("--data.shuffle", "[text]", "--seed_everything", "7")),
    ],
)
def test_what_was_answered_under_other_options_is_asked_again(world, tmp_path, monkeypatch, before, now):
    monkeypatch.setattr(dim.training.predict, "BLOCK_SIZE", 16)
    write, done = Workplace.write, []

    def opened_with(*options):
        chosen = ["--model", "BM25", "--data.predict_split", "dev", *options]
        cli = instantiated(*fit_options(world, tmp_path / "parsed", *chosen))
        return cli.model, cli.datamodule, cli.config_dump, None

    def broken(work, block):
        write(work, block)
        raise KeyboardInterrupt

    monkeypatch.setattr(Workplace, "write", broken)
    with pytest.raises(KeyboardInterrupt):
        predict_on_cluster(*opened_with(*before), tmp_path / "resumed")
    monkeypatch.setattr(Workplace, "write", lambda work, block: (done.append(block.index), write(work, block)))
    for name in ("resumed", "undisturbed"):
        predict_on_cluster(*opened_with(*now), tmp_path / name)
    resumed, undisturbed = (lines(tmp_path / name / "predictions" / "dev.jsonl") for name in ("resumed", "undisturbed"))
    assert resumed == undisturbed
    assert len(done) == 2 * len(set(done)) > 2  # each block, twice


def test_answers_hang_on_weights_mentions_texts_and_seed(tmp_path):
    def key(weights=b"weights", rows=(1, 2), features="brief", dataset="d", seed=0, parts="lm", model="DIM"):
        (tmp_path / "best.ckpt").write_bytes(weights)
        task = SimpleNamespace(seed=seed, parts=lambda: {"language_model": parts})
        kind = SimpleNamespace(name="full_kb"), SimpleNamespace(hash=dataset)
        data = SimpleNamespace(fingerprints={"text_hash": features}, protocol=kind[0], dataset=kind[1])
        config = {"model": {"class_path": model}, "data": {}}
        return dim.training.predict._key(task, data, config, tmp_path / "best.ckpt", torch.tensor(rows))

    others = [{"weights": b"others"}, {"rows": (1, 3)}, {"features": "refreshed"}, {"dataset": "e"}, {"seed": 1}]
    others += [{"parts": "another"}, {"model": "Another"}]
    assert key() == key()
    assert len({key(), *(key(**each) for each in others)}) == 1 + len(others)


def test_weights_of_other_data_are_refused(place, tmp_path):
    demo_world(tmp_path / "world", num_entities=100, seed=2)
    model, datamodule, config = opened(place)
    datamodule.root, datamodule._data = tmp_path / "world", None
    with pytest.raises(CheckpointError, match="kb_hash"):
        predict_on_cluster(model, datamodule, config, place / "run" / "checkpoints" / "best.ckpt", tmp_path)


@pytest.mark.ray
def test_predict_and_captions_on_a_cluster_of_this_machine(place):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dim-linker[ray]' (make test-all does)")
    config = ["--config", str(place / "run" / "config.yaml")]
    assert main(["predict", *config, "--data.engine", "ray"]) == 0
    assert same(lines(place / "run" / "predictions" / "dev.jsonl"), lines(place / "by_trainer.jsonl"))
    for name, engine in (("here", "local"), ("there", "ray")):
        demo_world(place / name, num_entities=100, seed=3)
        arguments = ["--captioner", "TinyCaptioner", "--cache_dir", str(place / f"cache_{name}"), "--engine", engine]
        assert main(["caption", str(place / name), *arguments]) == 0
    here, there = ((place / name / "mentions.parquet").read_bytes() for name in ("here", "there"))
    assert here == there
