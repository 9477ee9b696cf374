"""Ranks and best answers from scores that are computed a slice of the KB at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dim.evaluation.metrics import check_finite, count_against
from dim.search.exact import Best
from dim.search.scores import Scores


@dataclass(frozen=True)
class Placed:
    """Where the golds of a batch stand, and who stands first.

    Attributes:
        ranks: [n] int64, 1-based, ties counted against the gold; 0 where there is no gold.
        ties: [n] int64, other entities with the gold's score; 0 where there is no gold.
        values: [n, k] float32, the highest scores, best first.
        columns: [n, k] int64, the columns beside them.
    """

    ranks: Tensor
    ties: Tensor
    values: Tensor
    columns: Tensor


def place_golds(scores: Scores, gold: Tensor, k: int) -> Placed:
    """As `rank_gold` and `top_k` of all scores, which are never there at once.

    The first pass finds each gold's score in its slice, and counts from there on. What came before it is scored once
    more, for the mentions that want it: where all is one slice, there is one pass.

    Args:
        scores: Of n mentions.
        gold: [n] int64, a column each; -1: none.
        k: At most the number of columns.

    Raises:
        DataError: A mention that has a gold has a score that is NaN or +inf, or its gold's is -inf.
    """
    best = Best(k)
    gold_scores = torch.full((len(gold), 1), torch.nan, device=gold.device)  # nothing counts against NaN
    counts = torch.zeros(2, len(gold), dtype=torch.long, device=gold.device)
    for part in scores.slices():
        block = scores.of(part).float()
        is_here = ((gold >= part.start) & (gold < part.stop)).nonzero().flatten()
        gold_scores[is_here, 0] = block[is_here, gold[is_here] - part.start]
        counts += torch.stack(count_against(block, gold_scores))
        best.add(block, part.start)
        del block  # else two are there while the next one is computed
    found = gold >= 0
    if found.any():
        check_finite(best.values[found, :1], gold_scores[found])  # a NaN or +inf is among the best
    for part in scores.slices():
        later = (gold >= part.stop).nonzero().flatten()
        if len(later):
            block = scores.of_some(part, later).float()
            counts[:, later] += torch.stack(count_against(block, gold_scores[later]))
            del block
    ranks, above = counts
    return Placed(ranks, (ranks - above - 1).clamp_min(0), best.values, best.columns)
