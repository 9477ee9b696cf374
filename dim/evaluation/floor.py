"""The string floor: how far names lead, those alone that entities are called by, and with their aliases."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dim.core.progress import shown, tracked
from dim.data.dataset import Dataset
from dim.evaluation.protocols import Protocol, Ranked
from dim.search.lexical import NameIndex
from dim.search.scores import BATCH


def rank_by_floors(
    dataset: Dataset, mentions: Sequence[str], gold: Tensor, protocol: Protocol, candidates: Tensor | None
) -> dict[str, Ranked]:
    """What names lead to, by its key in `BASELINES`: `floor`, and `alias_floor` where the KB has aliases.

    Arguments are as of `rank_by_name`, of the KB of a dataset.
    """
    names, aliases = dataset.entities["name"].tolist(), aliases_of(dataset)
    index = NameIndex(tracked(names, "names indexed", len(names)), aliases)
    found = {"floor": rank_by_name(index.names_alone, mentions, gold, protocol, candidates)}
    if aliases is not None:
        found["alias_floor"] = rank_by_name(index, mentions, gold, protocol, candidates, "alias floor")
    return found


def aliases_of(dataset: Dataset) -> list[list[str]] | None:
    """The other names of each entity; None where no entity has any."""
    aliases = [list(of) for of in dataset.entities["aliases"]]
    return aliases if any(alias.strip() for of in aliases for alias in of) else None


def rank_by_name(
    index: NameIndex,
    mentions: Sequence[str],
    gold: Tensor,
    protocol: Protocol,
    candidates: Tensor | None,
    name: str = "string floor",
) -> Ranked:
    """Ranks entities by the string similarity of their names to the mention (`dim.search.lexical`).

    Args:
        index: The names of the KB.
        mentions: n mention strings.
        gold: [n] int64 KB rows, -1 for NIL; or [n, num_golds], -1 as padding.
        protocol: The protocol of the results that the floor shall stand beside.
        candidates: What the protocol gave for these mentions.
        name: What is shown while it ranks.

    Returns:
        The outcome, in the order of the mentions.
    """
    parts = []
    with shown(f"{name}, mention", len(gold), passing=True) as advance:
        for start in range(0, len(gold), BATCH):
            part = slice(start, start + BATCH)
            limits = None if candidates is None else candidates[part]
            parts.append(protocol.rank(index.scores(mentions[part]), gold[part], limits))
            advance(len(gold[part]))
    return Ranked.concatenate(parts)
