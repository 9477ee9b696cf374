"""Ranks and best answers from scores that are computed a slice of the KB at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dim.evaluation.metrics import check_finite, count_against, others_beside
from dim.search.exact import Best
from dim.search.scores import Scores


@dataclass(frozen=True)
class Placed:
    """Where the golds of a batch stand, and who stands first.

    Attributes:
        ranks: [n] int64, 1-based, of the best gold, ties counted against it; 0 where there is no gold.
        ties: [n] int64, entities that are no gold and have its score; 0 where there is no gold.
        values: [n, k] float32, the highest scores, best first.
        columns: [n, k] int64, the columns beside them.
    """

    ranks: Tensor
    ties: Tensor
    values: Tensor
    columns: Tensor


def place_golds(scores: Scores, golds: Tensor, k: int) -> Placed:
    """As `rank_gold` and `top_k` of all scores, which are never there at once.

    The first pass finds the golds' scores in their slices, and counts from a mention's last gold on. What came before
    is scored once more, for the mentions that want it: where all is one slice, there is one pass.

    Args:
        scores: Of n mentions.
        golds: [n, num_golds] int64, columns, each once a row; -1: none.
        k: At most the number of columns.

    Raises:
        DataError: A mention that has a gold has a score that is NaN or +inf, or its best gold's is -inf.
    """
    best = Best(k)
    last = golds.amax(1)
    of_golds = torch.full(golds.shape, -torch.inf, device=golds.device)
    counts = torch.zeros(2, len(golds), dtype=torch.long, device=golds.device)
    for part in scores.slices():
        block = scores.of(part).float()
        here = ((golds >= part.start) & (golds < part.stop)).nonzero(as_tuple=True)
        of_golds[here] = block[here[0], golds[here] - part.start]
        is_known = (last >= 0) & (last < part.stop)
        gold_scores = of_golds.amax(1, keepdim=True).where(is_known[:, None], torch.nan)  # nothing counts against NaN
        counts += torch.stack(count_against(block, gold_scores))
        best.add(block, part.start)
        del block  # else two are there while the next one is computed
    found = last >= 0
    if found.any():
        check_finite(best.values[found, :1], gold_scores[found])  # a NaN or +inf is among the best
    for part in scores.slices():
        later = (last >= part.stop).nonzero().flatten()
        if len(later):
            block = scores.of_some(part, later).float()
            counts[:, later] += torch.stack(count_against(block, gold_scores[later]))
            del block
    counted, above = counts
    ranks = counted - others_beside(of_golds)
    return Placed(ranks, (ranks - above - 1).clamp_min(0), best.values, best.columns)
