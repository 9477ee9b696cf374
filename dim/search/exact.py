"""Exact search: the reference for every faster index, and fast enough for a KB of some 100,000 entities."""

from __future__ import annotations

import torch
from torch import Tensor

from dim.search.scores import Scores

FIRST = 64  # columns that are looked at first for equal scores, then so many times as many
NUM_LAYERS = 32  # columns that compete for one peak: the wider, the cheaper the first pass and the dearer the second


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest scores of each row and their columns, best first; equal ones in the order of the columns.

    Args:
        scores: [n, num_columns], float.
        k: At most num_columns.

    Returns:
        values [n, k] and columns [n, k].

    Example:
        >>> top_k(torch.tensor([[0.1, 0.9, 0.5]]), 2)[1]
        tensor([[1, 2]])
    """
    values, columns = _some_of_the_best(scores, min(k + 1, scores.shape[1]))  # one more tells of equals beyond k
    is_equal = values[:, 1:] == values[:, :-1]
    if not is_equal.any():
        return values[:, :k], columns[:, :k]
    columns, order = columns.sort(1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    for row in is_equal[:, k - 1 : k].any(1).nonzero().flatten().tolist():  # the last one has equals beyond
        num_better = int((values[row] != values[row, k]).sum())
        columns[row, num_better:k] = _first_of(scores[row], values[row, k], k - num_better)
    return values[:, :k], columns[:, :k]


def _first_of(scores: Tensor, value: Tensor, count: int) -> Tensor:
    """The first `count` of the columns that have a value; where many do, it does not look at all of them."""
    width = FIRST
    while len(found := (scores[:width] == value).nonzero()[:, 0]) < count:
        width *= FIRST
    return found[:count]


def _some_of_the_best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest scores of each row, best first, and columns that have them.

    The result of `torch.topk` in less time: every k-th best value is the peak of its group of columns or shares
    the group with a better one, so the k groups with the highest peaks hold the k best columns.
    """
    num_rows, num_columns = scores.shape
    num_groups = num_columns // NUM_LAYERS
    if num_groups < 2 * k:
        values, columns = scores.topk(k)
        return values, columns
    # Group g holds the columns g, g + num_groups, …: the maximum over layers then runs along contiguous memory.
    layers = scores[:, : num_groups * NUM_LAYERS].view(num_rows, NUM_LAYERS, num_groups)
    groups = layers.amax(1).topk(k, sorted=False).indices  # [n, k]
    steps = torch.arange(NUM_LAYERS, device=scores.device) * num_groups
    columns = (groups[:, None, :] + steps[None, :, None]).flatten(1)  # [n, NUM_LAYERS * k]
    rest = torch.arange(num_groups * NUM_LAYERS, num_columns, device=scores.device)
    columns = torch.cat([columns, rest.expand(num_rows, -1)], dim=1)
    values, positions = scores.gather(1, columns).topk(k)
    return values, columns.gather(1, positions)


class Best:
    """The k highest scores of each mention, kept while slices of the KB come in its order, in which equal ones stand.

    Args:
        k: At most the number of all entities.

    Attributes:
        values: [B, k], best first; fewer than k while fewer entities came.
        columns: [B, k], the KB rows beside them.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.values, self.columns = torch.empty(0, 0), torch.empty(0, 0, dtype=torch.long)

    def add(self, scores: Tensor, start: int) -> None:
        """Takes the scores [B, n] of the KB rows from `start` on."""
        values, columns = top_k(scores, min(self.k, scores.shape[1]))
        if start:
            values = torch.cat([self.values, values], dim=1)
            columns = torch.cat([self.columns, columns + start], dim=1)
            values, order = values.sort(dim=1, descending=True, stable=True)
            values, columns = values[:, : self.k], columns.gather(1, order[:, : self.k])
        self.values, self.columns = values, columns

    @classmethod
    def of(cls, scores: Scores, k: int) -> Best:
        """Those of all slices."""
        best = cls(k)
        for part in scores.slices():
            best.add(scores.of(part), part.start)
        return best
