"""The string floor: how far the names alone lead."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dim.evaluation.protocols import Protocol, Ranked
from dim.search.lexical import CHUNK, NameIndex


def rank_by_name(
    mentions: Sequence[str], names: Sequence[str], gold: Tensor, protocol: Protocol, candidates: Tensor | None
) -> Ranked:
    """Ranks entities by the string similarity of their names to the mention (`dim.search.lexical`).

    Args:
        mentions: n mention strings.
        names: One name an entity, in KB order.
        gold: [n] int64 KB rows, -1 for NIL.
        protocol: The protocol of the results that the floor shall stand beside.
        candidates: What the protocol gave for these mentions.

    Returns:
        The outcome, in the order of the mentions.
    """
    blocks = NameIndex(names).scores(mentions)
    limits = candidates.split(CHUNK) if candidates is not None else [None] * (len(gold) // CHUNK + 1)
    return Ranked.concatenate(
        [
            protocol.rank(torch.from_numpy(scores), part, limit)
            for scores, part, limit in zip(blocks, gold.split(CHUNK), limits, strict=False)
        ]
    )
