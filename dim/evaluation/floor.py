"""The string floor: how far the names alone lead."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dim.evaluation.protocols import Protocol, Ranked
from dim.search.lexical import NameIndex
from dim.search.scores import BATCH


def rank_by_name(
    mentions: Sequence[str], names: Sequence[str], gold: Tensor, protocol: Protocol, candidates: Tensor | None
) -> Ranked:
    """Ranks entities by the string similarity of their names to the mention (`dim.search.lexical`).

    Args:
        mentions: n mention strings.
        names: One name an entity, in KB order.
        gold: [n] int64 KB rows, -1 for NIL; or [n, num_golds], -1 as padding.
        protocol: The protocol of the results that the floor shall stand beside.
        candidates: What the protocol gave for these mentions.

    Returns:
        The outcome, in the order of the mentions.
    """
    index = NameIndex(names)
    parts = []
    for start in range(0, len(gold), BATCH):
        part = slice(start, start + BATCH)
        limits = None if candidates is None else candidates[part]
        parts.append(protocol.rank(index.scores(mentions[part]), gold[part], limits))
    return Ranked.concatenate(parts)
