"""`dim rank` on runs of the demo world: cross-fitted, saved with the run, compared by `dim report`, with NIL."""

import json
import shutil
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tiny_fit import tiny_options, tiny_world
from tiny_text import write_bert

from dim.__main__ import main
from dim.cli.hold_out import hold_out
from dim.cli.rank import rank
from dim.cli.report import report
from dim.data.dataset import NIL
from dim.demo import demo_world
from dim.errors import CheckpointError, ConfigError
from dim.evaluation.result_files import read_results
from dim.linker import Linker
from dim.methods.contrastive.module import DIM
from dim.reranker.finder import Finder
from dim.reranker.ranker import Ranker
from dim.search import scores as sliced
from dim.training import crossfit
from dim.training.crossfit import caption_folds, cross_fit, draw_folds
from dim.training.saved_run import open_run

CONFIG = """
data:
  root: {root}
  cache_dir: {cache}
  text_encoder: TinyTextEncoder
  name_encoder: CharacterEncoder
  num_workers: 0
  entity_text: refreshed
model:
  class_path: DIM
  init_args: {{width: 64, warmup_steps: 2}}
trainer:
  accelerator: cpu
  max_epochs: 3
  logger: false
  enable_progress_bar: false
"""


def fit(folder, root, name):
    config = folder / f"{name}.yaml"
    config.write_text(CONFIG.format(root=root, cache=folder / "cache"))
    assert main(["fit", "--config", str(config), "--run", str(folder / name)]) == 0
    return folder / name


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rank")
    demo_world(folder / "world", num_entities=300, seed=1)
    return folder


@pytest.fixture(scope="module")
def run(place):
    made = fit(place, place / "world", "run")
    rank(made, folds=2, cross_encoder=str(write_bert(place / "bert")), cross_lists=16, cross_candidates=3)
    return made


def of_dev(run, folder="."):
    metrics = json.loads((run / folder / "metrics.json").read_text())
    return metrics, pd.read_parquet(run / folder / "ranks.parquet")


def test_names_and_vectors_together_are_better_than_either(run):
    metrics, frame = of_dev(run, "ranked")
    vectors, _ = of_dev(run)
    assert metrics["system"] == "DIM + ranker"
    assert metrics["protocol"] == vectors["protocol"] == "full_kb"
    assert metrics["top1"] > max(vectors["top1"], vectors["floor"]["top1"]) + 0.02
    assert metrics["method"]["vectors"]["top1"] == pytest.approx(vectors["top1"])
    assert frame["probability"].between(0, 1).all()
    answered = frame[frame["gold"].notna()]
    error = metrics["method"]["calibration"]["error"]
    assert error < abs((answered["rank"] == 1).mean() - 1)  # better than to be sure of everything


def test_it_may_learn_of_tune_without_another_fit(run, place):
    other = shutil.copytree(run, place / "of_tune")
    shutil.rmtree(other / "ranker-folds")
    rank(other, folds=3, unseen="tune", overwrite=True)
    assert not (other / "ranker-folds").exists()
    metrics, _ = of_dev(other, "ranked")
    assert metrics["top1"] > metrics["method"]["vectors"]["top1"]
    assert read_results(other / "ranked").identity["ranker"]["unseen"] == "tune"
    assert "unseen" not in read_results(run / "ranked").identity["ranker"]  # as of before there was a choice
    with pytest.raises(ConfigError, match="captions of tune"):
        rank(other, folds=10_000, unseen="tune", overwrite=True)
    with pytest.raises(ConfigError, match="another split than the one that the ranker learns of"):
        rank(other, unseen="tune", split="tune", overwrite=True)


def test_of_a_few_mentions_and_candidates_nothing_is_claimed_that_they_do_not_tell(run, place, monkeypatch):
    monkeypatch.setattr("dim.training.unseen.NIL_SHARE_OF_TRAINING", 0.0)
    monkeypatch.setattr("dim.reranker.network.LEAST_STEPS", 20)
    other = shutil.copytree(run, place / "of_few")
    rank(other, folds=3, unseen="tune", nil_precision=0.5, num_candidates=3, overwrite=True)
    made = Ranker.load(other / "ranker")
    metrics, frame = of_dev(other, "ranked")
    assert metrics["depth"] == frame["top_ids"].map(len).max() < 10
    assert (metrics["top5"] is None, metrics["top10"], metrics["top20"]) == (False, None, None)  # beyond the lists
    assert (made.nil, made.nil_threshold) == (None, None)
    assert of_dev(other, "ranked")[0]["n"] == of_dev(run, "ranked")[0]["n"]


def test_seen_and_unseen_make_up_the_whole(run):
    top1 = of_dev(run, "ranked")[0]["method"]["top1"]
    for system in ("ranker", "vectors"):
        parts = sum(top1[kind]["n"] * top1[kind][system] for kind in ("seen", "unseen") if top1[kind]["n"])
        assert parts == pytest.approx(top1["all"]["n"] * top1["all"][system])


def test_a_fold_is_fitted_without_its_captions_and_found_again(run, capfd):
    task = open_run(run)
    before = {path: path.stat().st_mtime_ns for path in (run / "ranker-folds").rglob("best.ckpt")}
    assert len(before) == 2
    left_out, towers = zip(*cross_fit(run, task, run / "ranker-folds", 2), strict=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert capfd.readouterr().out.count("found") >= 2
    assert np.array_equal(np.sort(np.concatenate(left_out)), np.sort(task.datamodule.train_rows().numpy()))
    mentions = task.data.dataset.mentions
    captions = [set(mentions["context"].iloc[rows]) - {""} for rows in left_out]
    assert not captions[0] & captions[1]
    assert task.datamodule.only is None
    rows = torch.from_numpy(left_out[0])
    assert not torch.allclose(towers[0].scores_of(rows).whole(), task.scores_of(rows).whole())


@pytest.mark.usefixtures("quick_ranker")
def test_a_ranker_is_replaced_unless_other_files_stand_beside_it_and_its_folds_are_found(run, place, capfd):
    copy = shutil.copytree(run, place / "replaced")
    (copy / "ranker" / "thesis.txt").write_text("three years")
    with pytest.raises(ConfigError, match=r"with files that it did not write: thesis\.txt"):
        rank(copy, folds=2, overwrite=True)
    (copy / "ranker" / "thesis.txt").unlink()
    capfd.readouterr()
    rank(copy, folds=2, overwrite=True)
    assert capfd.readouterr().out.count("left out, found") == 2
    assert {path.name for path in (copy / "ranker").iterdir()} == {"ranker.json", "ranker.safetensors"}
    (copy / "ranker" / "ranker.json").unlink()  # a ranker without it is no run without ranker
    with pytest.raises(CheckpointError, match=r"a ranker in [\s\S]*no file ranker\.json"):
        Linker.from_checkpoint(copy, device="cpu")


def test_the_cross_encoder_learns_of_training_mentions_by_vectors_that_did_not_see_them(run):
    facts = json.loads((run / "cross_encoder" / "cross_encoder.json").read_text())
    assert (facts["learned_of"], facts["num_lists"], facts["top_k"]) == ("train, by folds", 16, 3)


def test_only_a_part_of_train_is_trained_on(run):
    datamodule = open_run(run).datamodule
    rows = datamodule.train_rows()
    datamodule.only = rows[::2]
    assert torch.equal(datamodule.train_rows(), rows[::2])


def test_a_fold_of_other_data_or_options_is_fitted_again(run, place):
    folder = place / "again"
    task = open_run(run)
    list(cross_fit(run, task, folder, 2))
    known = json.loads((folder / "1of2" / "fold.json").read_text())
    (folder / "1of2" / "fold.json").write_text(json.dumps(known | {"identity": "other"}))
    before = [(folder / f"{n}of2" / "best.ckpt").stat().st_mtime_ns for n in (1, 2)]
    list(cross_fit(run, task, folder, 2))
    after = [(folder / f"{n}of2" / "best.ckpt").stat().st_mtime_ns for n in (1, 2)]
    assert (after[0] > before[0], after[1] == before[1]) == (True, True)


@pytest.mark.parametrize("what", ["nothing", "mentions", "options", "folds"])
def test_a_fold_is_none_of_other_mentions_options_or_folds(run, place, monkeypatch, what):
    class FittedError(Exception):
        """A fold is fitted."""

    def fitted(*_):
        raise FittedError

    task, folder = open_run(run), place / "none_of_others"
    list(cross_fit(run, task, folder, 2))
    if what == "mentions":  # of the same KB, as a dataset has them that was prepared again
        monkeypatch.setitem(task.data.dataset.meta, "hash", "another")
    if what == "options":
        monkeypatch.setattr(crossfit, "identity_of_run", lambda run, task: {"method": "another"})
    if what == "folds":
        monkeypatch.setattr(crossfit, "caption_folds", lambda *given: 1 - caption_folds(*given))
    monkeypatch.setattr(crossfit, "_fit", fitted)
    with nullcontext() if what == "nothing" else pytest.raises(FittedError):
        list(cross_fit(run, task, folder, 2))


@pytest.mark.parametrize(
    "stopping",
    [
        ["--early_stopping.patience", "1"],
        [
            "--trainer.callbacks",
            "[{class_path: EarlyStopping, init_args: {monitor: tune/top1, mode: max, patience: 1}}]",
        ],
    ],
)
def test_a_fold_stops_early_as_its_run_does(tmp_path, tmp_path_factory, stopping):
    epochs, steady = [], ["--model.learning_rate", "0", "--trainer.max_epochs", "4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DIM, "start_epoch", lambda task, made=DIM.start_epoch: epochs.append(0) or made(task))
        line = tiny_options(tiny_world(tmp_path_factory), tmp_path / "run", *steady, *stopping)
        assert main(["fit", *line]) == 0
        assert len(epochs) == 2
        list(cross_fit(tmp_path / "run", open_run(tmp_path / "run"), tmp_path / "folds", 2))
    assert len(epochs) == 2 + 2 * 2


def test_a_fold_is_found_again_from_another_place(run):
    folder, options = run / "ranker-folds", yaml.safe_load((run / "config.yaml").read_text())
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("best.ckpt")}
    task, written = open_run(run), (run / "config.yaml").read_text()
    moved = options["data"] | {"num_workers": 1, "resident_gb": 1.0, "embed_batch_size": 8, "engine": "ray"}
    (run / "config.yaml").write_text(yaml.safe_dump(options | {"data": moved}))
    list(cross_fit(run, task, folder, 2))
    (run / "config.yaml").write_text(written)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.usefixtures("quick_ranker")
def test_results_of_another_ranker_do_not_stay_beside_new_ones(run, place):
    copy = shutil.copytree(run, place / "copy")
    for split, candidates in (("dev", 8), ("test", 4)):
        rank(copy, folds=2, num_candidates=candidates, split=split, out=place / "both", overwrite=True)
    results = read_results(place / "both")
    assert list(results.entries) == [("test", "full_kb")]
    assert results.identity["ranker"]["num_candidates"] == 4
    assert results.identity["method"] == read_results(run).identity["method"]


def test_the_saved_ranker_judges_as_it_did(run):
    task, ranker = open_run(run), Ranker.load(run / "ranker")
    finder = Finder(task, ranker.facts["num_candidates"])
    rows = task.datamodule.rows("dev").numpy()
    judged = ranker.judge(finder.lists(task, rows))
    _, frame = of_dev(run, "ranked")
    assert [said.probabilities.max() for said in judged] == pytest.approx(frame["probability"].tolist(), abs=1e-5)
    assert ranker.facts["kb_hash"] == task.data.dataset.kb_hash


def test_no_feature_knows_the_training_links(run):
    task = open_run(run)
    rows = task.datamodule.rows("dev").numpy()[:20]
    before = Finder(task, 8).lists(task, rows).features
    task.data.dataset.mentions["entity_id"] = task.data.dataset.entities["id"].iloc[0]
    task.data.gold.zero_()
    assert np.array_equal(Finder(task, 8).lists(task, rows).features, before)


def test_report_shows_it_beside_the_vectors_and_the_names(run, place):
    report([run, run / "ranked"], out=place / "report.md")
    text = (place / "report.md").read_text()
    for row in ("names only (string floor)", "| run |", "DIM + ranker"):
        assert row in text


def test_the_linker_tells_the_figures_of_its_ranker_before_those_of_its_vectors(run):
    first, second = Linker.from_checkpoint(run, device="cpu").about["figures"]
    assert (first["system"], second["system"]) == ("this linker: vectors and ranker", "its vectors alone")
    assert (first["top1"], second["top1"]) == (of_dev(run, "ranked")[0]["top1"], of_dev(run)[0]["top1"])


@pytest.mark.long
def test_what_was_held_out_is_answered_nil_more_often_than_what_was_not(place):
    hold_out(place / "world", place / "rest", share=0.3, seed=0, cache_dir=place / "cache")
    made = fit(place, place / "rest", "rest_run")
    rank(made, folds=2, nil_precision=0.4, nil_share=0.3)
    metrics, frame = of_dev(made, "ranked")
    is_nil = frame["gold"].isna()
    assert is_nil.sum() == metrics["num_nil"] > 0
    said = np.array([ids[0] == NIL for ids in frame["top_ids"]])
    assert said[is_nil].mean() > said[~is_nil].mean() + 0.1
    nil = metrics["method"]["nil"]
    assert nil["ranker"]["chosen"]["nil_recall"] == pytest.approx(said[is_nil].mean())
    assert {"ranker", "plain score"} < set(nil)
    assert frame["rank"][is_nil].isna().all()


@pytest.mark.parametrize("limited", [False, True])
def test_candidates_and_what_speaks_for_them_are_the_same_over_slices(run, limited, monkeypatch):
    task = open_run(run)
    finder = Finder(task, 8)
    rows = task.datamodule.rows("dev").numpy()[:20]
    if limited:
        num_entities = len(task.data.dataset.entities)
        generator = torch.Generator().manual_seed(0)
        task.data.candidates = torch.randint(-1, num_entities, (len(task.data.gold), 9), generator=generator)
    held_out = finder.hold_out(rows, np.random.default_rng(0))
    monkeypatch.setattr(sliced, "SLICE", 300)
    whole = [finder.lists(task, rows, out) for out in (None, held_out)]
    monkeypatch.setattr(sliced, "SLICE", 41)
    for expected, out in zip(whole, (None, held_out), strict=True):
        lists = finder.lists(task, rows, out)
        assert np.array_equal(lists.rows, expected.rows)
        assert np.array_equal(lists.gold, expected.gold)
        np.testing.assert_allclose(lists.features, expected.features, atol=1e-5)


def test_answers_stay_until_they_may_be_replaced(run):
    with pytest.raises(ConfigError, match="results of dim rank, written before"):
        rank(run, folds=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "between 2 and"),
        ({"folds": 100_000}, r"between 2 and \d+ folds, at most as many as captions of train"),
        ({"num_candidates": 0}, "at least 1 candidate"),
        ({"nil_precision": 1.0}, "--nil_precision between 0 and 1"),
        ({"nil_share": 0.0}, "--nil_share between 0 and 1"),
    ],
)
def test_options_out_of_range_are_refused(run, place, options, message):
    with pytest.raises(ConfigError, match=message):
        rank(run, out=place / "elsewhere", **options)


def test_without_a_run_the_remedy_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"a run with its config\.yaml"):
        rank(tmp_path)


def test_folds_are_whole_groups_of_about_equal_size():
    groups = np.random.default_rng(0).integers(0, 50, 500)
    folds = draw_folds(groups, 5, seed=0)
    assert all(len(set(folds[groups == group])) == 1 for group in np.unique(groups))
    assert np.ptp(np.bincount(folds)) < 20
    assert not np.array_equal(folds, draw_folds(groups, 5, seed=1))
