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


def pieces(lengths: Tensor, most: int) -> list[Tensor]:
    """The places of texts, by length, in pieces that have at most so many tokens with their padding, or one text.

    Args:
        lengths: [n], the tokens of each text.
        most: Of a piece.

    Example:
        >>> [piece.tolist() for piece in pieces(torch.tensor([9, 2, 3, 2]), 6)]
        [[1, 3], [2], [0]]
    """
    known, order = torch.sort(lengths, stable=True)
    found, start = [], 0
    for place, length in enumerate(known.tolist()):
        if place > start and (place + 1 - start) * length > most:
            found.append(order[start:place])
            start = place
    return [*found, order[start:]] if len(order) else []
