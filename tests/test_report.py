import json

import numpy as np
import pandas as pd
import pytest

from dim.errors import DataError
from dim.report import find_runs, read_systems, report, spread
from dim.results import percent, without_nan, write_results


def make_run(folder, ranks, *, split="dev", **changes):
    """A run folder with given ranks, in the real format."""
    frame = pd.DataFrame(
        {
            "mention_id": [f"m{i}" for i in range(len(ranks))],
            "split": split,
            "gold": ["e"] * len(ranks),
            "rank": np.asarray(ranks, dtype=float),
            "floor_rank": 2.0,
            "frozen_rank": 1.0,
            "seen_in_train": [i % 2 == 0 for i in range(len(ranks))],
        }
    )
    shares = dict.fromkeys(("top1", "top3", "top5", "top10", "top20", "mrr"), 0.5)
    top1 = float(np.mean(np.asarray(ranks) <= 1))
    metrics = {
        **shares, "top1": top1, "split": split, "n": len(ranks), "dataset": "d", "dataset_hash": "h",
        "kb_hash": "k" * 16, "kb_size": 9, "protocol": "full_kb", "floor": shares, "frozen": shares,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder, frame, metrics | changes)
    return folder


def test_seeds_in_sibling_folders_are_one_system_with_mean_and_spread(tmp_path, capsys):
    for seed, ranks in enumerate(([1, 1, 2, 2], [1, 1, 1, 2])):
        make_run(tmp_path / "ours" / f"seed{seed}", ranks)
    make_run(tmp_path / "base", [2, 2, 2, 2])
    systems = read_systems([tmp_path / "base", tmp_path / "ours"], "dev")
    assert [len(system.metrics) for system in systems] == [1, 2]
    assert systems[1].hits().tolist() == [1.0, 1.0, 0.5, 0.0]
    assert spread(np.array([0.5, 0.75])) == "62.5 ± 17.7"
    report([tmp_path / "base", tmp_path / "ours"], by="seen_in_train")
    shown = capsys.readouterr().out
    assert "62.5 ± 17.7" in shown
    assert "True" in shown


@pytest.mark.parametrize("key", ["dataset_hash", "kb_hash", "protocol"])
def test_runs_that_do_not_compare_are_refused_by_name(tmp_path, key):
    make_run(tmp_path / "a", [1, 2])
    make_run(tmp_path / "b", [1, 2], **{key: "another"})
    with pytest.raises(DataError, match=rf"runs of the same {key}[\s\S]*another in .*b[\s\S]*a report of its own"):
        read_systems([tmp_path / "a", tmp_path / "b"], "dev")


def test_folders_without_results_and_unknown_columns_say_so(tmp_path):
    make_run(tmp_path / "a", [1, 2])
    with pytest.raises(DataError, match=r"results on test in .*a[\s\S]*dim test"):
        read_systems([tmp_path / "a"], "test")
    with pytest.raises(DataError, match=r"a run folder at[\s\S]*finished run"):
        find_runs(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"a column of ranks.parquet[\s\S]*'smell'"):
        report([tmp_path / "a"], by="smell")


def test_results_of_another_split_stay_when_one_is_written_again(tmp_path):
    make_run(tmp_path / "a", [1, 2])
    make_run(tmp_path / "a", [1, 1], split="test")
    make_run(tmp_path / "a", [2, 2])
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert (metrics["split"], metrics["top1"]) == ("dev", 0.0)
    assert metrics["splits"]["test"]["top1"] == 1.0
    assert len(pd.read_parquet(tmp_path / "a" / "ranks.parquet")) == 4


def test_what_is_not_defined_is_null_in_json_and_na_in_tables():
    assert without_nan({"a": {"b": float("nan")}, "c": 1.0}) == {"a": {"b": None}, "c": 1.0}
    assert percent(None) == percent(float("nan")) == "n/a"
