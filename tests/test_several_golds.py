"""Mentions with several golds, the whole path: fits, figures, another system's answers, a ranker."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fit_options import dim_options, fit_options, gemel_options
from tiny_lm import save_model, texts_of

from dim.__main__ import main
from dim.cli.evaluate import evaluate
from dim.cli.rank import rank
from dim.cli.report import report
from dim.cli.show import show
from dim.data.dataset import Dataset, gold_ids, write_dataset
from dim.demo import demo_world
from dim.evaluation.metrics import TIE
from dim.methods.contrastive import DIM
from dim.reranker.finder import Finder
from dim.reranker.lists import Lists
from dim.training.saved_run import open_run

NUM_ENTITIES = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo world in which every second mention has two more golds: entities that stand beside the gold in the KB."""
    folder = tmp_path_factory.mktemp("golds")
    demo_world(folder / "whole", num_entities=NUM_ENTITIES, seed=1)
    whole = Dataset(folder / "whole")
    ids, mentions = whole.entities["id"].tolist(), whole.mentions.copy()
    mentions["other_golds"] = [
        [] if row < 0 or number % 2 else [ids[(row + 1) % NUM_ENTITIES], ids[(row + 7) % NUM_ENTITIES]]
        for number, row in enumerate(whole.gold_rows(mentions).tolist())
    ]
    write_dataset(
        folder / "world",
        name="several",
        entities=whole.entities,
        texts={variant: whole.text_table(variant) for variant in whole.variants},
        mentions=mentions,
        image_root=str(whole.image_root.resolve()),
    )
    save_model(folder / "lm", texts=texts_of(whole))
    return folder


SMALL = ["--data.text_encoder.width", "64", "--model.width", "32", "--model.num_heads", "2"]
FITS = {
    "npair": [*SMALL, "--model.negatives", "NameNegatives"],
    "mined": [*SMALL, "--model.loss", "NTXentLoss", "--model.negatives", "MinedNegatives"],
    "released": [*SMALL, "--model.loss", "ReleasedNPair"],
    "names": ["--model", "NamesOnly"],
    "popularity": ["--model", "NamesAndPopularity"],
    "bm25": ["--model", "BM25", "--data.entity_text", "brief"],
}


def fit(place: Path, name: str) -> Path:
    run = place / name
    if not run.exists():
        options = dim_options if FITS[name][0] == SMALL[0] else fit_options
        epochs = ["--trainer.max_epochs", "2"] if options is dim_options else []
        assert main(["fit", *options(place / "world", run, *FITS[name], *epochs)]) == 0
    return run


def of_dev(run: Path, folder: str = ".") -> tuple[dict, pd.DataFrame]:
    metrics = json.loads((run / folder / "metrics.json").read_text())
    return metrics, pd.read_parquet(run / folder / "ranks.parquet")


def check_places(place: Path, frame: pd.DataFrame) -> None:
    """A rank is the place of the first answer that is a gold, where it is among those that are kept."""
    mentions = Dataset(place / "world").mentions
    golds = dict(zip(mentions["id"], gold_ids(mentions), strict=True))
    for row in frame.itertuples():
        places = [number for number, entity_id in enumerate(row.top_ids, 1) if entity_id in golds[row.mention_id]]
        assert row.rank == places[0] if places else not row.rank <= len(row.top_ids)
    assert frame["rank"].notna().any()


def loop_rank(scores: list[float], golds: list[int]) -> int:
    best = max(scores[gold] for gold in golds)
    return 1 + sum(score >= best - TIE for row, score in enumerate(scores) if row not in golds)


FURTHER = ("mined", "popularity", "bm25")


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.long] * (x in FURTHER)) for x in FITS])
def test_a_fit_ranks_the_best_gold(place: Path, name: str) -> None:
    run = fit(place, name)
    metrics, frame = of_dev(run)
    task = open_run(run, "cpu")
    rows = task.datamodule.rows("dev")
    golds = task.data.golds_of(rows)
    assert golds.shape[1] == 3
    with torch.no_grad():
        scores = task.scores_of(rows)
    scores = scores if isinstance(scores, torch.Tensor) else scores.whole()
    expected = [
        loop_rank(of_row, [gold for gold in of if gold >= 0]) if of[0] >= 0 else np.nan
        for of_row, of in zip(scores.tolist(), golds.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(frame["rank"], expected)
    assert metrics["top1"] == pytest.approx((frame["rank"].dropna() == 1).mean())
    assert main(["validate", "--config", str(run / "config.yaml")]) == 0
    assert of_dev(run)[0]["top1"] == metrics["top1"]


def test_gemel_ranks_the_first_name_that_is_a_golds(place: Path) -> None:
    more = ["--trainer.max_epochs", "1", "--data.batch_size", "16", "--model.max_new_tokens", "12"]
    assert main(["fit", *gemel_options(place / "world", place / "gemel", *more)]) == 0
    _, frame = of_dev(place / "gemel")
    check_places(place, frame)


def test_candidate_lists_hold_the_gold_if_they_hold_any(place: Path) -> None:
    protocol = ["--data.protocol", "Candidates", "--data.protocol.size", "5"]
    assert main(["fit", *fit_options(place / "world", place / "listed", *FITS["names"], *protocol)]) == 0
    _, frame = of_dev(place / "listed")
    task = open_run(place / "listed", "cpu")
    data, rows = task.data, task.datamodule.rows("dev")
    holds = [
        bool(set(listed) & set(golds) - {-1})
        for listed, golds in zip(data.candidates_of(rows).tolist(), data.golds_of(rows).tolist(), strict=True)
    ]
    assert frame["candidate_hit"].tolist() == holds
    assert frame["rank"].notna().tolist() == holds


class Recorder(torch.nn.Module):
    """A loss that keeps what it is given."""

    def forward(self, query, labels, pairs, ref_emb, ref_labels):
        self.pairs = pairs
        return ref_emb.sum()


def test_no_other_gold_in_the_batch_is_a_negative(place: Path) -> None:
    task = open_run(fit(place, "npair"), "cpu")
    task.negatives, task.loss = None, Recorder()
    gold, golds = task.data.gold, task.data.golds_of(torch.arange(len(task.data.gold)))
    row, other = next(
        (row, other)
        for row in range(len(gold))
        for other in range(len(gold))
        if golds[row, 1] >= 0 and gold[other] in golds[row, 1:] and gold[row] not in golds[other]
    )
    rest = [each for each in range(len(gold)) if gold[each] >= 0 and gold[each] not in golds[[row, other]]][:3]
    task.loss_of(torch.tensor([row, other, *rest]))
    pairs = set(zip(*(each.tolist() for each in task.loss.pairs[2:]), strict=True))
    assert (0, 1) not in pairs
    assert {(0, 2), (0, 3), (0, 4), (1, 0), (1, 2), (1, 3), (1, 4)} <= pairs


def test_a_loss_that_makes_pairs_of_its_own_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = dim_options(place / "world", place / "nca", *SMALL, "--model.loss", "NCALoss")
    assert main(["fit", *options]) == 1
    assert "several golds" in capsys.readouterr().err


@pytest.mark.usefixtures("quick_ranker")
def test_a_ranker_is_taught_the_first_gold_and_ranks_the_best(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, made, lists_of = fit(place, "npair"), [], Finder.lists

    def lists(finder: Finder, tower: DIM, rows: np.ndarray, without: list[np.ndarray] | None = None) -> Lists:
        made.append((finder.golds[rows], lists_of(finder, tower, rows, without)))
        return made[-1][1]

    monkeypatch.setattr(Finder, "lists", lists)
    rank(run, folds=2, nil_precision=0.5)
    check_places(place, of_dev(run, "ranked")[1])
    *training, (golds_of_dev, of_dev_) = made
    assert (golds_of_dev[of_dev_.gold >= 0, 0] >= 0).all()
    for number, (golds, found) in enumerate(training):
        for first, last, of, gold in zip(found.starts, found.starts[1:], golds.tolist(), found.gold, strict=False):
            listed = found.rows[first:last].tolist()
            assert not set(listed) & set(of[number % 2 == 0 :])  # each second time the first gold is held out, too
            assert gold == (listed.index(of[0]) if of[0] in listed else -1)
    assert (training[0][1].gold >= 0).any()


def test_another_systems_answers_are_scored_by_the_same_rule(place: Path) -> None:
    run = fit(place, "npair")
    _, own = of_dev(run)
    evaluate(run / "ranks.parquet", place / "world", place / "theirs")
    _, theirs = of_dev(place / "theirs")
    found = own["rank"] <= 10  # a tie beyond the answers that are kept is not seen
    np.testing.assert_array_equal(theirs["rank"][found], own["rank"][found])
    np.testing.assert_array_equal(theirs["floor_rank"], own["floor_rank"])
    report([run, place / "theirs", fit(place, "names")], out=place / "report.md")
    assert (place / "report.md").read_text().count("npair") > 0


def test_predict_and_show_tell_all_golds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(place, "npair")
    assert main(["predict", "--config", str(run / "config.yaml"), "--data.predict_split", "test"]) == 0
    lines = (run / "predictions" / "test.jsonl").read_text().splitlines()
    assert len(lines) == len(Dataset(place / "world").split("test"))
    dev = Dataset(place / "world").split("dev")
    ids = dict(zip(dev["id"], gold_ids(dev), strict=True))
    mention_id = next(each for each, golds in ids.items() if len(golds) == 3)
    capsys.readouterr()
    show(mention_id, place / "world", run=run)
    shown = capsys.readouterr().out
    for entity_id in ids[mention_id]:
        assert entity_id in shown
