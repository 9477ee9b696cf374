"""Splits that were drawn once stay with their mentions when a release is prepared again."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from dim.core.text_form import one_form
from dim.data.dataset import SPLITS
from dim.data.splits import caption_groups

COLUMNS = ["id", "split", "mention", "context", "entity_id", "images"]
_Row = tuple[str, str, str, tuple[str, ...]]  # mention, context, gold, images
#: By what a mention is found again, the surest first; None: not by this.
_KEYS: tuple[Callable[[_Row], Any], ...] = (
    lambda row: row,
    lambda row: row[:3],
    lambda row: row[:2] if row[0] or row[1] else None,  # its gold was put right
    lambda row: (row[0], row[3]) if row[3] else None,  # its context was put right
)


def keep_splits(mentions: pd.DataFrame, earlier: pd.DataFrame, source: str) -> tuple[pd.Series, list[str]]:
    """The splits of mentions, those drawn as they were in an earlier table, and notes on what differs from a new draw.

    Only what dim drew is kept: an id says what split the release gave (`train-000017`, or `mention-000017` without
    one). A mention is found again by its words, then by its image; others take the split of their caption, or the one
    newly drawn. A caption is never cut: where a repair joins two that stood in different splits, all go where most are.

    Args:
        mentions: The columns `COLUMNS`, with newly drawn splits.
        earlier: The same of the earlier table.
        source: Where that stands, for the notes.
    """
    split = mentions["split"].astype(object).copy()
    num_found, num_new, moved = 0, 0, list[Any]()
    for given in sorted(_drawn(mentions) & _drawn(earlier)):
        rows, before = _given(mentions, given), _given(earlier, given)
        found = _find(_rows(rows), _rows(before), before["split"].tolist())
        num_new += found.count(None)
        num_found += len(found) - found.count(None)
        captions = caption_groups(rows).tolist()
        votes: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for caption, name in zip(captions, found, strict=True):
            if name is not None:
                votes[caption][name] += 1
        for row, caption, name in zip(rows.index, captions, found, strict=True):
            if caption in votes:
                # Of a tie the later split: a row may leave train, but none may enter it from test.
                split[row] = max(votes[caption], key=lambda each: (votes[caption][each], SPLITS.index(each)))
                if name not in (None, split[row]):
                    moved.append(row)
    notes = []
    if not split.equals(mentions["split"].astype(object)):
        notes.append(
            f"the splits that were drawn are those of {source}: {num_found:,} mentions found again, {num_new:,} new "
            "ones drawn; prepared into a new folder, all are drawn anew"
        )
    if moved:
        notes.append(
            f"captions that stood in two splits share an image or a sentence now: {len(moved):,} mentions moved, first "
            f"{mentions['id'][moved[0]]} to {split[moved[0]]}"
        )
    return split, notes


def num_again(mentions: pd.DataFrame, earlier: pd.DataFrame) -> int:
    """How many mentions an earlier table has too, by their words."""
    asked = [Counter(row[:2] for row in _rows(table)) for table in (mentions, earlier)]
    return (asked[0] & asked[1]).total()


def _drawn(mentions: pd.DataFrame) -> set[str]:
    """What stands in the ids where dim drew splits."""
    told = _told(mentions)
    return set(told[told != mentions["split"]])


def _told(mentions: pd.DataFrame) -> pd.Series:
    return mentions["id"].astype(object).str.rpartition("-")[0]


def _given(mentions: pd.DataFrame, given: str) -> pd.DataFrame:
    return mentions[_told(mentions) == given]


def _rows(mentions: pd.DataFrame) -> list[_Row]:
    columns = (mentions[name] for name in ("mention", "context", "entity_id", "images"))
    return [
        (one_form(name), one_form(context), gold if isinstance(gold, str) else "", tuple(map(one_form, images)))
        for name, context, gold, images in zip(*columns, strict=True)
    ]


def _find(rows: Sequence[_Row], before: Sequence[_Row], splits: Sequence[str]) -> list[str | None]:
    """The split that each row had, None where it is new. Equal rows are paired in their order."""
    found: list[str | None] = [None] * len(rows)
    left, wanted = list(range(len(before))), list(range(len(rows)))
    for key in _KEYS:
        places: defaultdict[Any, deque[int]] = defaultdict(deque)
        for place in left:
            places[key(before[place])].append(place)
        taken = set()
        for row in wanted:
            name = key(rows[row])
            if name is not None and places.get(name):
                place = places[name].popleft()
                found[row] = splits[place]
                taken.add(place)
        left = [place for place in left if place not in taken]
        wanted = [row for row in wanted if found[row] is None]
    return found
