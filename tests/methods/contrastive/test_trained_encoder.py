"""A text encoder that is trained within the steps: fitted, resumed, exported, opened and asked."""

import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fit_options import fit_options
from tiny_fit import tiny_world
from tiny_text import write_bert

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError
from dim.features.trained import TrainedTable
from dim.linker import Linker
from dim.methods.contrastive.module import DIM
from dim.methods.contrastive.negatives import MinedNegatives
from dim.reranker.ranker import Ranker
from dim.training.crossfit import cross_fit
from dim.training.saved_run import open_run

MENTIONS = ["ada moreau", "hugo", "the hill", "ada moreau"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory)


def options(world: Path, run: Path, bert: Path, *more: str) -> list[str]:
    encoder = ["--data.text_encoder", "TransformersTextEncoder", "--data.text_encoder.path", str(bert)]
    small = ["--model", "DIM", "--model.width", "16", "--model.num_heads", "2", "--model.dropout", "0"]
    rate = ["--model.learning_rate", "0.01", "--model.encoder_learning_rate", "0.01", "--model.warmup_steps", "2"]
    return ["fit", *fit_options(world, run, *encoder, *small, *rate, "--trainer.max_epochs", "2", *more)]


def test_the_kb_is_not_encoded_before_the_first_step(
    world: Path, tmp_path: Path, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    scoring = DIM.on_scoring_start
    monkeypatch.setattr(DIM, "on_scoring_start", lambda task: [steps.append(task.global_step), scoring(task)])
    line = options(world, tmp_path / "run", bert, "--data.text_encoder.train", "full")
    assert main([*line, "--trainer.max_epochs", "1"]) == 0
    assert steps[0] > 0


def test_texts_are_encoded_when_they_are_taken_each_once_and_gradients_reach_the_encoder(bert: Path) -> None:
    encoder = TransformersTextEncoder(str(bert), train="full")
    asked: list[list[str]] = []
    forward = encoder.forward_text
    encoder.forward_text = lambda texts: asked.append(list(texts)) or forward(texts)  # type: ignore[method-assign]
    table = TrainedTable(encoder, MENTIONS[:3], torch.tensor([0, 1, -1, 0, 2]), graph_bytes=0)
    vectors, mask = table.take(torch.tensor([3, 2, 4, 0]))
    assert mask[:, 0].tolist() == [True, False, True, True]
    assert sorted(text for batch in asked for text in batch) == ["ada moreau", "the hill"]
    frozen = TransformersTextEncoder(str(bert)).encode_text(["ada moreau", "the hill"])
    np.testing.assert_allclose(vectors.detach()[:, 0], [frozen[0], np.zeros(16), frozen[1], frozen[0]], atol=1e-5)
    vectors.sum().backward()
    assert all((p.grad is not None) == ("pooler" not in name) for name, p in encoder.network.named_parameters())
    with pytest.raises(ConfigError, match="weights in fp32 to be trained"):
        TransformersTextEncoder(str(bert), train="full", precision="bf16")


@pytest.mark.parametrize("train", ["full", "lora"])
def test_a_trained_encoder_is_what_its_linker_answers_by(
    world: Path, bert: Path, tmp_path: Path, train: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, entities = tmp_path / "run", DIM.entities
    assert main(options(world, run, bert, "--data.text_encoder.train", train)) == 0
    task = open_run(run, "cpu")
    start = TransformersTextEncoder(str(bert)).encode_text(MENTIONS)
    learned = task.datamodule.choices.text_encoder.encode_text(MENTIONS)
    assert np.abs(learned - start).max() > 1e-3
    # How far the KB is read is said within it.
    with torch.inference_mode():
        task.on_scoring_start()
        at_once, most = task.kb_vectors, []
        monkeypatch.setattr("dim.inference.method.MOST_READ", 16)
        monkeypatch.setattr(type(task), "entities", lambda task, rows: most.append(len(rows)) or entities(task, rows))
        task.on_scoring_start()
    assert max(most) == 16
    np.testing.assert_allclose(task.kb_vectors, at_once, atol=1e-5)
    # The linker of the run answers by the trained weights, and so does its folder, whose encoder is frozen.
    rows = Dataset(world).split("dev").head(30)
    questions = [{"mention": row.mention, "context": row.context or ""} for row in rows.itertuples()]
    linker = Linker.from_checkpoint(run, device="cpu")
    found = linker.link_batch(questions, top_k=5)
    with torch.inference_mode():
        scores = task.scores_of(torch.from_numpy(rows.index.to_numpy().copy())).whole().topk(5).values
    np.testing.assert_allclose([[answer.score for answer in answers] for answers in found], scores, atol=1e-5)
    linker.save(tmp_path / "linker")
    opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    encoder = opened.live.choices.text_encoder
    assert isinstance(encoder, TransformersTextEncoder)
    assert not encoder.is_trained
    np.testing.assert_allclose(encoder.encode_text(MENTIONS), learned, atol=1e-5)
    for here, there in zip(found, opened.link_batch(questions, top_k=5), strict=True):
        np.testing.assert_allclose([a.score for a in here], [a.score for a in there], atol=1e-5)
    opened.save(tmp_path / "again")
    assert Linker.from_pretrained(tmp_path / "again", device="cpu").link_batch(questions[:1])


def test_it_has_a_learning_rate_of_its_own(world: Path, bert: Path, tmp_path: Path) -> None:
    more = ["--data.text_encoder.train", "full", "--model.encoder_learning_rate", "0", "--trainer.max_epochs", "1"]
    assert main(options(world, tmp_path / "run", bert, *more)) == 0
    still = open_run(tmp_path / "run", "cpu").datamodule.choices.text_encoder.encode_text(MENTIONS)
    np.testing.assert_array_equal(still, TransformersTextEncoder(str(bert)).encode_text(MENTIONS))


def test_what_was_trained_in_bf16_is_ranked_in_fp32_as_its_linker_answers(
    world: Path, bert: Path, tmp_path: Path
) -> None:
    run, more = tmp_path / "run", ["--data.text_encoder.train", "full", "--trainer.precision", "bf16-mixed"]
    assert main(options(world, run, bert, *more, "--trainer.max_epochs", "1")) == 0
    rows = Dataset(world).split("dev").head(20)
    questions = [{"mention": row.mention, "context": row.context or ""} for row in rows.itertuples()]
    ranked = pd.read_parquet(run / "ranks.parquet").query("split == 'dev'")["top_scores"].head(20)
    answers = Linker.from_checkpoint(run, device="cpu").link_batch(questions, top_k=5)
    for own, scores in zip(answers, ranked, strict=True):
        np.testing.assert_allclose([answer.score for answer in own], scores[:5], atol=1e-5)


@pytest.mark.long
def test_its_linker_may_be_computed_by_another_backend(
    world: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    run = tmp_path / "run"
    assert main(options(world, run, bert, "--data.text_encoder.train", "lora")) == 0
    assert main(["export", str(run), str(tmp_path / "linker"), "--backend", "onnx"]) == 0
    encoder = Linker.from_pretrained(tmp_path / "linker", device="cpu").live.choices.text_encoder
    assert isinstance(encoder, TransformersTextEncoder)
    assert (encoder.backend, encoder.is_trained) == ("onnx", False)
    learned = open_run(run, "cpu").datamodule.choices.text_encoder.encode_text(MENTIONS)
    np.testing.assert_allclose(encoder.encode_text(MENTIONS), learned, atol=1e-5)


def test_resumed_it_comes_to_the_same_weights(world: Path, bert: Path, tmp_path: Path) -> None:
    more = ["--data.text_encoder.train", "full", "--model.schedule", "constant"]
    assert main(options(world, tmp_path / "whole", bert, *more)) == 0
    assert main(options(world, tmp_path / "cut", bert, *more, "--trainer.max_epochs", "1")) == 0
    assert main(options(world, tmp_path / "cut", bert, *more, "--ckpt_path", "last")) == 0
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
        for name in ("whole", "cut")
    ]
    assert any(name.startswith("trained_encoders.text_encoder.") for name in states[0])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_negatives_are_mined_anew_before_each_epoch_by_the_model_as_it_answers(
    world: Path, bert: Path, tmp_path: Path
) -> None:
    tables, dropped, fill, scores_of = [], [], MinedNegatives.fill, DIM.scores_of
    mined = ["--data.text_encoder.train", "full", "--model.negatives", "MinedNegatives", "--model.dropout", "0.5"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MinedNegatives, "fill", lambda self, nearest: tables.append(nearest) or fill(self, nearest))
        patch.setattr(DIM, "scores_of", lambda task, rows: dropped.append(task.training) or scores_of(task, rows))
        assert main(options(world, tmp_path / "run", bert, *mined)) == 0
    assert len(tables) == 2
    assert not torch.equal(*tables)
    assert not any(dropped)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--model", "FrozenVectors"], "a frozen encoder for the text_encoder of FrozenVectors"),
        (["--data.blank", "[context]"], "a frozen encoder for blanked fields (context)"),
    ],
)
def test_what_cannot_train_an_encoder_says_so(
    world: Path, bert: Path, tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = ["--data.text_encoder", "TransformersTextEncoder", "--data.text_encoder.path", str(bert)]
    model = more if "--model" in more else ["--model", "DIM", "--model.width", "16", "--model.num_heads", "2", *more]
    run = tmp_path / "run"
    assert main(["fit", *fit_options(world, run, *encoder, "--data.text_encoder.train", "full", *model)]) == 1
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def trained(world: Path, bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    assert main(options(world, run, bert, "--data.text_encoder.train", "full", "--trainer.max_epochs", "1")) == 0
    return run


def test_its_ranker_learns_of_tune_which_no_weights_saw_where_that_has_enough(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    monkeypatch.setattr("dim.training.unseen.ENOUGH", 5)
    assert main(["rank", "--run", str(run), "--folds", "3"]) == 0
    assert "mentions of tune, which no weights saw" in " ".join(capsys.readouterr().out.split())
    assert not (run / "ranker-folds").exists()
    facts = Ranker.load(run / "ranker").facts
    assert (facts["unseen"], facts["folds"]) == ("tune", 3)
    assert "3 folds of tune" in facts["calibration"]
    metrics = json.loads((run / "ranked" / "metrics.json").read_text())
    assert metrics["top1"] >= metrics["method"]["vectors"]["top1"]
    assert Linker.from_checkpoint(run, device="cpu").link_batch([{"mention": "ada", "context": ""}])[0][0].probability


def test_each_fold_trains_an_encoder_of_its_own_which_has_not_seen_it(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    task = open_run(run, "cpu")
    before = task.datamodule.choices.text_encoder.encode_text(MENTIONS)
    seen: list[torch.Tensor] = []
    rows_of, fitted = [], []
    loss_of = DIM.loss_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DIM, "loss_of", lambda self, rows: seen.append(rows.cpu()) or loss_of(self, rows))
        for left_out, tower in cross_fit(run, task, tmp_path / "folds", 2, "cpu"):
            assert not np.isin(left_out, torch.cat(seen)).any()
            seen.clear()
            rows_of.append(left_out)
            fitted.append(tower.datamodule.choices.text_encoder.encode_text(MENTIONS))
    assert np.array_equal(np.sort(np.concatenate(rows_of)), np.sort(task.datamodule.train_rows().numpy()))
    assert np.array_equal(task.datamodule.choices.text_encoder.encode_text(MENTIONS), before)
    for one, other in combinations([before, *fitted], 2):
        assert np.abs(one - other).max() > 1e-4
