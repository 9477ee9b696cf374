"""The model card tells the figures of what answers, those of its parts beside them, and when NIL is answered."""

import pandas as pd
import pytest

from dim.evaluation.result_files import write_result
from dim.linker.figures import figures_of_run, figures_table
from dim.linker.ranked import ranker_row
from dim.reranker.network import RankerNetwork
from dim.reranker.ranker import Ranker

RANK = {"folds": 5, "num_candidates": 16, "nil_precision": 0.8, "nil_share": 0.1}


def ranker(temperature=0.7, nil_threshold=0.43, **facts):
    return Ranker(RankerNetwork(2, 4, 2), ("a", "b"), temperature, None, nil_threshold, RANK | facts)


def write(run, top1, split="dev", protocol="full_kb", **facts):
    metrics = {
        "dataset": "demo", "split": split, "protocol": protocol, "kb_size": 2000, "n": 450, "seed": 3, "top1": top1,
        "top5": 0.9, "mrr": 0.85, "floor": {"top1": 0.5}, **facts,
    }  # fmt: skip
    write_result(run, pd.DataFrame({"split": [split], "protocol": [protocol], "rank": [1.0]}), metrics, None)


def of_ranker(temperature=0.7, **options):
    return {"config": {"rank": RANK | options}, "method": {"calibration": {"temperature": temperature}}}


def test_the_ranker_s_figures_come_first_and_those_of_its_vectors_second(tmp_path):
    write(tmp_path, 0.791)
    write(tmp_path / "ranked", 0.874, **of_ranker())
    table = figures_table(figures_of_run(tmp_path, ranker()), has_ranker=True).splitlines()
    on = "demo · dev · full_kb · KB 2,000 · n 450 · seed 3"
    assert table[-2:] == [
        f"| this linker: vectors and ranker | {on} | 87.4 | 90.0 | 85.0 | 50.0 |",
        f"| its vectors alone | {on} | 79.1 | 90.0 | 85.0 | 50.0 |",
    ]


@pytest.mark.parametrize("other", [of_ranker(temperature=0.8), of_ranker(nil_precision=0.9)])
def test_figures_of_another_ranker_are_none_of_this_linker(tmp_path, other):
    write(tmp_path, 0.791)
    write(tmp_path / "ranked", 0.874, **other)
    table = figures_table(figures_of_run(tmp_path, ranker()), has_ranker=True)
    assert "87.4" not in table
    assert "| this linker: vectors and ranker | not evaluated: run dim rank |" in table


def test_without_a_ranker_each_split_and_protocol_is_the_linker_s_own(tmp_path):
    write(tmp_path, 0.791)
    write(tmp_path, 0.95, protocol="candidates(names, 5)")
    write(tmp_path, 0.715, split="test")
    rows = figures_table(figures_of_run(tmp_path), has_ranker=False).splitlines()[-3:]
    assert [row.split(" | ")[1].split(" · ")[1:3] for row in rows] == [
        ["dev", "full_kb"],
        ["dev", "candidates(names, 5)"],
        ["test", "full_kb"],
    ]
    assert all(row.startswith("| this linker |") for row in rows)
    assert figures_table([], has_ranker=False) == ""


def test_the_card_says_when_nil_is_answered():
    said = "answered where its probability reaches 0.430 (threshold for a precision of 0.8)"
    assert ranker_row(ranker())["NIL"] == said
    assert ranker_row(ranker(nil_threshold=None))["NIL"] == ranker_row(None)["NIL"] == "never answered"
