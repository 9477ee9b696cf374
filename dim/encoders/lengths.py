"""Batches of texts of like length, so that little of what is computed is padding."""

from __future__ import annotations

import torch
from torch import Tensor


def by_length(mask: Tensor, call: int) -> list[tuple[Tensor, int]]:
    """The rows of a padded batch in parts, with the most tokens of each: a part costs less than the padding it saves.

    A mention's name beside its context, padded to it, would take as long as two contexts.

    Args:
        mask: [batch, length], 1 where a token counts; padded on the right.
        call: Tokens whose computing takes about as long as one more call.

    Example:
        >>> mask = torch.tensor([[1] * 40, [1] * 4 + [0] * 36, [1] * 5 + [0] * 35])
        >>> [(rows.tolist(), most) for rows, most in by_length(mask, 16)]
        [([1, 2], 5), ([0], 40)]
    """
    lengths, order = torch.sort(mask.sum(dim=1), stable=True)
    known, parts, start = lengths.tolist(), [], 0
    for place in range(1, len(known) + 1):
        if place == len(known) or (place - start) * (known[place] - known[place - 1]) > call:
            parts.append((order[start:place], int(known[place - 1])))
            start = place
    return parts


def pieces(lengths: Tensor, most: int, call: int) -> list[Tensor]:
    """The places of texts, by length, in the pieces that cost least: tokens with their padding, and a call each.

    Args:
        lengths: [n], the tokens of each text.
        most: Tokens of a piece, but of a text that is longer.
        call: Tokens whose computing takes about as long as one more call.

    Example:
        >>> [piece.tolist() for piece in pieces(torch.tensor([9, 2, 3, 2]), 9, 3)]
        [[1, 3, 2], [0]]
    """
    known, order = torch.sort(lengths, stable=True)
    distinct, counts = known.unique_consecutive(return_counts=True)
    sizes, ends = distinct.tolist(), [0, *counts.cumsum(0).tolist()]
    at_once = [max(1, most // size) for size in sizes]
    # Of the texts of the first 0, 1, 2 … lengths: their cost, and where their last group starts.
    least, starts = [0], [0]
    for last, size in enumerate(sizes):
        numbers = [ends[last + 1] - ends[first] for first in range(last + 1)]
        costs = [least[first] + n * size + call * -(-n // at_once[last]) for first, n in enumerate(numbers)]
        starts.append(min(range(last + 1), key=costs.__getitem__))
        least.append(costs[starts[-1]])
    found: list[Tensor] = []
    end = len(sizes)
    while end:
        found[:0] = order[ends[starts[end]] : ends[end]].split(at_once[end - 1])
        end = starts[end]
    return found
