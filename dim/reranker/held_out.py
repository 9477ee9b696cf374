"""Which entities a KB shall lack, so that it can be measured whether a linker notices."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dim.data.dataset import OTHER_GOLDS, Dataset, attributes_of, gold_ids
from dim.reranker.words import split_name, split_words

CONFUSABLE, TRIVIAL = "confusable", "trivial"
ATTRIBUTE = "held_out"  #: Of a mention: the kind of NIL that it became.


def surname(name: str) -> str:
    """The last word of a name without what stands in parentheses, folded; empty where it has no word.

    Example:
        >>> surname("Fred Müller (footballer)")
        'muller'
    """
    words = split_words(split_name(name)[0])
    return words[-1] if words else ""


def draw_held_out(names: Sequence[str], share: float, seed: int) -> dict[int, str]:
    """KB row → `trivial` or `confusable`, for a share of the entities, about half of each kind.

    The trivial ones go as whole groups of one surname, so that nobody is left who looks like them. Of the
    confusable ones a namesake stays, and a namesake of one that was chosen is never chosen as trivial.

    Args:
        names: One a KB row.
        share: Between 0 and 1.
        seed: Of the draw.

    Example:
        >>> kinds = draw_held_out(["Ann Lee", "Bob Lee", "Cy Young", "Di Hall"], 0.5, seed=0)
        >>> sorted(kinds.values())
        ['confusable', 'trivial']
    """
    groups: dict[str, list[int]] = defaultdict(list)
    surnames = [surname(name) for name in names]
    for row, word in enumerate(surnames):
        groups[word].append(row)
    wanted = round(share * len(names))
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    kinds: dict[int, str] = {}
    left = {word: len(rows) for word, rows in groups.items()}
    for row in order:
        if len(kinds) >= wanted // 2:
            break
        if left[surnames[row]] > 1:
            kinds[row] = CONFUSABLE
            left[surnames[row]] -= 1
    touched = {surnames[row] for row in kinds}
    for row in order:
        group = groups[surnames[row]]
        if surnames[row] not in touched and len(kinds) + len(group) <= wanted:
            kinds |= dict.fromkeys(group, TRIVIAL)
            touched.add(surnames[row])
    return kinds


@dataclass(frozen=True)
class HeldOut:
    """The tables of a dataset whose KB lacks some entities.

    Attributes:
        entities: Those that stay.
        mentions: Without the training and tuning mentions of held-out entities; those of other splits are NIL, with
            the kind as the attribute `held_out`. Of several golds those that stay are the golds.
        texts: Variant → the texts of the entities that stay.
        num_dropped: Mentions that were dropped, by split.
        num_nil: Mentions that became NIL, by split and kind.
    """

    entities: pd.DataFrame
    mentions: pd.DataFrame
    texts: dict[str, pd.DataFrame]
    num_dropped: dict[str, int]
    num_nil: dict[str, dict[str, int]]


def hold_out(dataset: Dataset, share: float, seed: int) -> HeldOut:
    """The dataset without a share of its entities: not in the KB, not in training, not among the texts.

    Args:
        dataset: The whole.
        share: Of the entities, between 0 and 1.
        seed: Of the draw (`draw_held_out`).
    """
    entities, mentions = dataset.entities, dataset.mentions.copy()
    kinds = draw_held_out(entities["name"].tolist(), share, seed)
    ids = entities["id"].tolist()
    kind_of: dict[str, str] = {ids[row]: kind for row, kind in kinds.items()}
    stays = ~entities["id"].isin(list(kind_of))
    golds = gold_ids(mentions)
    left = [without(of, kind_of) for of in golds]
    kind = [kind_of[of[0]] if of and not rest else None for of, rest in zip(golds, left, strict=True)]
    gone = pd.Series(kind, mentions.index, dtype=object)
    is_training = mentions["split"].isin(["train", "tune"])
    dropped, nil = gone.notna() & is_training, gone.notna() & ~is_training
    attributes = [
        json.dumps(attributes_of(known) | {ATTRIBUTE: kind}) if became else known
        for known, kind, became in zip(mentions["attributes"], gone, nil, strict=True)
    ]
    mentions["attributes"] = pd.Series(attributes, mentions.index, dtype=object)
    mentions["entity_id"] = pd.Series([rest[0] if rest else None for rest in left], mentions.index, dtype=object)
    if OTHER_GOLDS.name in mentions:
        mentions[OTHER_GOLDS.name] = pd.Series([rest[1:] for rest in left], mentions.index, dtype=object)
    candidates = [without(ids, kind_of) for ids in mentions["candidates"]]
    mentions["candidates"] = pd.Series(candidates, mentions.index, dtype=object)
    texts = {}
    for variant in dataset.variants:
        table = pd.DataFrame({"entity_id": entities["id"], "text": dataset.texts(variant).to_numpy()})
        texts[variant] = table[stays.to_numpy() & table["text"].notna()].reset_index(drop=True)
    became = pd.DataFrame({"split": mentions["split"][nil], "kind": gone[nil]})
    return HeldOut(
        entities=entities[stays].reset_index(drop=True),
        mentions=mentions[~dropped].reset_index(drop=True),
        texts=texts,
        num_dropped={str(split): int(n) for split, n in mentions["split"][dropped].value_counts().items()},
        num_nil={
            str(split): {str(kind): int(n) for kind, n in part["kind"].value_counts().items()}
            for split, part in became.groupby("split")
        },
    )


def without(ids: Any, gone: dict[str, str]) -> Any:
    """A list of ids without those that are gone; None stays None."""
    return None if ids is None else [entity_id for entity_id in ids if entity_id not in gone]
