from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dim.data.dataset import write_dataset
from dim.display.terminal import Console
from dim.evaluation.protocols import NIL_ROW, Ranked
from dim.evaluation.result_files import write_result
from dim.evaluation.results import measure, percent, print_results, ranks_frame


def ranked(ranks):
    n = len(ranks)
    values = np.asarray(ranks, dtype=float)
    return Ranked(
        values, np.zeros(n, np.int64), np.isfinite(values), np.zeros((n, 1), np.int64), np.ones((n, 1), np.float32)
    )


@pytest.fixture
def dataset(tmp_path):
    rows = {"mention": "Ann", "context": "", "entity_id": "e"}
    return write_dataset(
        tmp_path / "d",
        name="d",
        entities=pd.DataFrame({"id": ["e", "f"], "name": ["Ann", "Bob"]}),
        texts={},
        mentions=pd.DataFrame(
            [{"id": f"{split}-{i}", "split": split} | rows for split in ("dev", "test") for i in (0, 1)]
        ),
    )


def write(dataset, run, split, ranks, protocol="full_kb"):
    outcome = ranked(ranks)
    frame = ranks_frame(
        dataset, dataset.split(split), split=split, protocol=protocol, ranked=outcome, beside={"floor": outcome}
    )
    metrics = measure(dataset, frame, model="m", system=None, seed=0)
    write_result(run, frame, metrics, {"method": "m"})
    return metrics


def test_a_missed_gold_counts_as_missed_and_is_no_candidate(dataset, tmp_path):
    metrics = write(dataset, tmp_path / "run", "dev", [1, float("nan")])
    assert (metrics["top20"], metrics["mrr"], metrics["candidate_recall"]) == (0.5, 0.5, 0.5)


def test_mentions_that_the_kb_lacks_count_for_nil_alone(tmp_path):
    golds = ["e", "e", "f", None, None, None]
    dataset = write_dataset(
        tmp_path / "d",
        name="d",
        entities=pd.DataFrame({"id": ["e", "f"], "name": ["Ann", "Bob"]}),
        texts={},
        mentions=pd.DataFrame(
            {"id": [f"m{i}" for i in range(6)], "split": "dev", "mention": "Ann", "context": "", "entity_id": golds}
        ),
    )
    rows = [[0], [NIL_ROW, 0], [0], [NIL_ROW], [NIL_ROW, 1], [1]]  # NIL is said of m1, m3, m4 and is right of two
    scores = [np.arange(len(row), 0, -1) for row in rows]
    outcome = Ranked.from_lists([np.array(row) for row in rows], scores, np.array([0, 0, 1, -1, -1, -1]))
    outcome = replace(outcome, ties=np.array([4, 1, 0, 0, 0, 0]))
    frame = ranks_frame(dataset, dataset.mentions, split="dev", protocol="full_kb", ranked=outcome, beside={})
    found = measure(dataset, frame, answers_nil=True, model="m", seed=0)
    assert (found["n"], found["num_nil"], found["ties"]) == (3, 3, 2)
    assert (found["top1"], found["top3"], found["mrr"]) == pytest.approx((1 / 3, 2 / 3, 1 / 2))
    assert found["candidate_recall"] == pytest.approx(2 / 3)
    assert found["nil"] == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert measure(dataset, frame, model="m", seed=0)["nil"] is None


def test_beyond_the_depth_of_the_answers_nothing_is_claimed(dataset):
    outcome = ranked([1, 2])
    frame = ranks_frame(
        dataset,
        dataset.split("dev"),
        split="dev",
        protocol="p",
        ranked=outcome,
        beside={"floor": outcome, "frozen": outcome},
    )
    metrics = measure(dataset, frame, depth=4, model="m", seed=None)
    assert (metrics["top1"], metrics["top3"]) == (0.5, 1.0)
    assert np.isnan(metrics["top5"])
    assert metrics["frozen"]["top1"] == 0.5


def test_the_floor_with_aliases_is_printed_where_there_is_one(dataset, capsys):
    for keys, said in ({"floor"}, False), ({"floor", "alias_floor"}, True):
        outcome = ranked([1, 2])
        beside = dict.fromkeys(keys, outcome)
        split = dataset.split("dev")
        frame = ranks_frame(dataset, split, split="dev", protocol="full_kb", ranked=outcome, beside=beside)
        metrics = measure(dataset, frame, model="m", system=None, seed=0)
        assert ("alias_floor" in metrics, "alias_floor_rank" in frame) == (said, said)
        print_results(Console(), metrics, frame)
        assert ("names and aliases (floor)" in capsys.readouterr().out) == said


def test_what_is_not_defined_is_na_in_tables():
    assert percent(None) == percent(float("nan")) == "n/a"
