"""The string floor, over the KB as it is and without what train has used up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dim.audit.findings import Finding, Thresholds, first
from dim.audit.rows import Mask, Rows, golds_in, train_splits
from dim.data.dataset import Dataset
from dim.evaluation.floor import aliases_of
from dim.evaluation.metrics import rank_gold
from dim.search.lexical import NameIndex
from dim.search.scores import BATCH

MAX_CELLS = 2**25  # of one block of scores: 128 MiB

FLOOR, WITH_ALIASES = "string floor (Top-1)", "string floor with aliases (Top-1)"

Ranks = NDArray[np.float64]


def used_up(rows: Rows, split: str, entity_ids: Sequence[str]) -> Mask:
    """The entities [num_entities] that are gold in train and of no row of `split`.

    A model that has learnt that answers do not come back can rule them out. They stay in the KB's TF-IDF, so that
    nothing but the number of competitors changes.
    """
    train, own = golds_in(rows, *train_splits(split)), golds_in(rows, split)
    return np.fromiter((entity in train and entity not in own for entity in entity_ids), bool, len(entity_ids))


def floor_ranks(index: NameIndex, mentions: Sequence[str], golds: NDArray[np.int64], out: Mask) -> tuple[Ranks, Ranks]:
    """The string floor's rank of each mention's best gold, ties against it.

    Args:
        index: The names of the KB.
        mentions: n mention strings.
        golds: [n, num_golds] KB rows, -1 as padding, and for NIL.
        out: [num_entities], the entities that do not compete in the second figure; no gold is among them.

    Returns:
        Two arrays [n]: over the whole KB, and without `out`. NaN for NIL.
    """
    names = [f"gold {number}" for number in range(golds.shape[1])]
    pairs = pd.DataFrame(golds, columns=names).assign(mention=pd.Series(mentions, dtype=object))
    known = golds[:, 0] >= 0
    places = pairs[known].groupby(["mention", *names], sort=True).ngroup().to_numpy()
    unique = pairs[known].drop_duplicates().sort_values(["mention", *names])
    is_out = torch.from_numpy(out)
    step = max(1, min(BATCH, MAX_CELLS // max(1, len(out))))
    found: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []
    for start in range(0, len(unique), step):
        part = unique.iloc[start : start + step]
        columns = torch.tensor(part[names].to_numpy())
        scores = index.scores(part["mention"].tolist()).whole()
        found[0].append(rank_gold(scores, columns)[0])
        scores[:, is_out] = -torch.inf
        found[1].append(rank_gold(scores, columns)[0])
    ranks = np.full(len(golds), np.nan), np.full(len(golds), np.nan)
    for array, parts in zip(ranks, found, strict=True):
        if parts:
            array[known] = torch.cat(parts).numpy()[places]
    return ranks


def check_floor(
    dataset: Dataset, rows: Rows, splits: Sequence[str], thresholds: Thresholds
) -> tuple[list[Finding], Ranks]:
    """Two findings a split, three where the KB has aliases, and the rank of every row [n] by names alone.

    The rank is NaN where a row was not ranked.
    """
    findings, ranks = [], np.full(len(rows), np.nan)
    names = dataset.entities["name"].tolist()
    aliases = aliases_of(dataset)
    index = NameIndex(names, aliases) if splits and any(name.strip() for name in names) else None
    for split in splits:
        if index is None:
            findings.append(Finding(FLOOR, "not checked", "No entity has a name.", split))
            continue
        places = np.flatnonzero(rows.in_splits(split))
        golds = dataset.golds_of(dataset.mentions.iloc[places])
        out = used_up(rows, split, dataset.entities["id"].tolist())
        mentions = [rows.mention[i] for i in places.tolist()]
        ranks[places], without = floor_ranks(index.names_alone, mentions, golds, out)
        in_kb = places[golds[:, 0] >= 0]
        if not len(in_kb):
            findings.append(Finding(FLOOR, "not checked", "No row has an answer in the KB.", split))
            continue
        findings.append(floor := _floor(FLOOR, split, rows, ranks, in_kb, len(names), thresholds))
        if aliases is not None:
            by_aliases = np.full(len(rows), np.nan)
            by_aliases[places], _ = floor_ranks(index, mentions, golds, out)
            findings.append(_floor(WITH_ALIASES, split, rows, by_aliases, in_kb, len(names), thresholds))
        findings.append(_without_train(split, floor, without[golds[:, 0] >= 0], out, rows, in_kb, thresholds))
    return findings, ranks


def _floor(
    name: str, split: str, rows: Rows, ranks: Ranks, in_kb: NDArray[np.int64], num_entities: int, thresholds: Thresholds
) -> Finding:
    right = ranks[in_kb] <= 1
    high = right.mean() >= thresholds.high_floor
    by = "A name or an alias" if name == WITH_ALIASES else "The name alone"
    return Finding(
        name,
        "note" if high else "ok",
        f"{by} answers most rows: a figure says little unless this one stands beside it."
        if high
        else f"{by} does not answer most rows.",
        split,
        int(right.sum()),
        len(in_kb),
        {"kb_size": num_entities},
        first(rows.ids[i] for i in in_kb[right].tolist()),
    )


def _without_train(
    split: str,
    floor: Finding,
    without: Ranks,
    out: Mask,
    rows: Rows,
    in_kb: NDArray[np.int64],
    thresholds: Thresholds,
) -> Finding:
    right, before = int((without <= 1).sum()), floor.count or 0
    rise = (right - before) / len(in_kb)
    name = "string floor without the golds of train"
    figures = {"rise": round(rise, 6), "kb_size": int((~out).sum())}
    if not rows.in_splits(*train_splits(split)).any():
        return Finding(name, "not checked", "No row is in train.", split)
    steep = rise >= thresholds.floor_rise
    return Finding(
        name,
        "warning" if steep else "ok",
        f"A model that knows which golds of train do not come back gains {100 * rise:.1f} points here without reading "
        "anything."
        if steep
        else f"Ruling out the golds of train that do not come back gains {100 * rise:.1f} points.",
        split,
        right,
        len(in_kb),
        figures,
    )
