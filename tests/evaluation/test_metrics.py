import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dim.errors import DataError
from dim.evaluation.metrics import TIE, rank_gold, summarize_ranks


def loop_rank(scores: list[float], gold: int) -> tuple[int, int]:
    others = [s for column, s in enumerate(scores) if column != gold]
    better_or_equal = sum(s >= scores[gold] - TIE for s in others)
    ties = sum(abs(s - scores[gold]) <= TIE for s in others)
    return 1 + better_or_equal, ties


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.integers(0, 11))
def test_a_rank_is_what_a_loop_counts_with_ties_against_the_gold(levels, place):
    gold = place % len(levels)
    scores = [level / 4 for level in levels]
    ranks, ties = rank_gold(torch.tensor([scores]), torch.tensor([gold]))
    assert (int(ranks), int(ties)) == loop_rank(scores, gold)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=10))
def test_a_worse_candidate_never_changes_a_rank(scores):
    before, _ = rank_gold(torch.tensor([scores]), torch.tensor([0]))
    after, _ = rank_gold(torch.tensor([[*scores, scores[0] - 0.5]]), torch.tensor([0]))
    assert before == after


def test_scores_within_the_tolerance_tie():
    ranks, ties = rank_gold(torch.tensor([[0.5, 0.5 + 5e-7, 0.5 + 5e-6, 0.5 - 5e-7]]), torch.tensor([0]))
    assert (int(ranks), int(ties)) == (4, 2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_an_error_and_not_rank_one(bad):
    with pytest.raises(DataError, match="1 mentions with NaN or inf"):
        rank_gold(torch.tensor([[0.1, bad], [0.1, 0.2]]), torch.tensor([0, 0]))


def test_metrics_agree_with_shares_by_hand():
    metrics = summarize_ranks([1, 1, 2, 4, 30])
    assert metrics == pytest.approx(
        {"top1": 0.4, "top3": 0.6, "top5": 0.8, "top10": 0.8, "top20": 0.8, "mrr": (1 + 1 + 1 / 2 + 1 / 4 + 1 / 30) / 5}
    )


def test_a_missed_gold_is_a_miss_at_every_k():
    assert summarize_ranks([np.nan, 1])["top20"] == 0.5
    assert summarize_ranks([np.inf])["mrr"] == 0.0


def test_no_rank_gives_nan_and_rank_zero_is_refused():
    assert all(np.isnan(value) for value in summarize_ranks([]).values())
    with pytest.raises(ValueError, match="1-based"):
        summarize_ranks([0])
