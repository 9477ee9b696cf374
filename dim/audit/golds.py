"""What the golds say of the KB: how many are there, how often, and where they were seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from dim.audit.findings import Finding, Thresholds, Verdict, first
from dim.audit.rows import Rows, golds_in, train_splits
from dim.data.dataset import Dataset


def check_golds(dataset: Dataset, rows: Rows, splits: Sequence[str], thresholds: Thresholds) -> Iterator[Finding]:
    """Golds in the KB, golds used once, and a finding a split on golds seen in train."""
    uses = Counter(gold for golds in rows.golds for gold in golds)
    yield _in_kb(dataset, uses, bool(rows.in_splits("test").any()), thresholds)
    yield _used_once(uses, thresholds)
    for split in splits:
        yield _seen(dataset, rows, split, thresholds)


def _in_kb(dataset: Dataset, uses: Counter[str], has_test: bool, thresholds: Thresholds) -> Finding:
    num_entities = len(dataset.entities)
    many = num_entities > 0 and len(uses) / num_entities >= thresholds.kb_golds
    says = "Most of the KB is never an answer, as in a real KB."
    if many:
        says = "The KB is made of the answers: it is easier than a real KB, and figures do not carry over to one."
    return Finding(
        "KB entities that are gold of some row",
        "warning" if many else "ok",
        says if has_test else f"{says} The share is a lower bound, for there is no test row here.",
        count=len(uses),
        of=num_entities,
        examples=first(uses),
    )


def _used_once(uses: Counter[str], thresholds: Thresholds) -> Finding:
    name = "golds that are gold of one row only"
    if not uses:
        return Finding(name, "not checked", "No row has an answer in the KB.")
    once = [gold for gold, count in uses.items() if count == 1]
    many = len(once) / len(uses) >= thresholds.golds_once
    return Finding(
        name,
        "warning" if many else "ok",
        "An answer that train has used hardly comes back: a model can rule out the golds of train."
        if many
        else "Answers come back, so having been gold in train rules nothing out.",
        count=len(once),
        of=len(uses),
        examples=first(once),
    )


def _seen(dataset: Dataset, rows: Rows, split: str, thresholds: Thresholds) -> Finding:
    name = "golds seen in train"
    train = golds_in(rows, *train_splits(split))
    places = [i for i in np.flatnonzero(rows.in_splits(split)).tolist() if rows.golds[i]]
    if not train or not places:
        return Finding(name, "not checked", f"No row of {split if train else 'train'} has an answer in the KB.", split)
    seen = [i for i in places if not train.isdisjoint(rows.golds[i])]
    share, share_of_kb = len(seen) / len(places), len(train) / len(dataset.entities)
    figures = {"train_golds": len(train), "train_golds_share_of_kb": round(share_of_kb, 6)}
    verdict: Verdict
    if not seen and share_of_kb >= thresholds.golds_seen:
        verdict = "warning" if share_of_kb >= thresholds.kb_golds else "note"
        says = f"No gold of train is an answer here: {share_of_kb:.0%} of the KB can be ruled out."
    elif share >= thresholds.golds_seen:
        verdict = "note"
        says = "These answers can be known from train: let seen and unseen rows stand apart."
    else:
        verdict = "ok"
        says = (
            "Few answers here were answers in train." if seen else "Answers are new, and little of the KB is used up."
        )
    return Finding(
        name,
        verdict,
        says,
        split,
        len(seen),
        len(places),
        figures,
        first(rows.ids[i] for i in seen),
    )
