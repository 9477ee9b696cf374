"""What stands twice: rows, captions and images in two splits, and equal rows within one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dim.audit.findings import Finding, Thresholds, Verdict, first
from dim.audit.rows import EVALUATED, Mask, Rows, train_splits
from dim.images.regions import split_region

Keys = Sequence[tuple[Hashable, ...]]  #: For each row, what it may share with others.

_NONE: tuple[Verdict, str] = ("ok", "No evidence stands in both.")

PLURAL = {"row": "rows", "caption": "captions", "image": "images"}


def keys_of(rows: Rows, identity: Mapping[str, str]) -> dict[str, Keys]:
    """What rows may share: `row`, `caption`, `image` → the keys of each row.

    A row is its mention, its place in the context, context and images, whatever its answer: a name that stands twice in
    a document is two mentions. A bare name (no context, no image) is no row to be found again: names recur by nature.

    Args:
        rows: The mentions.
        identity: Image file → what stands for its content; a file that is not named stands for itself.
    """
    images = [tuple(identity.get(file, file) for file in files) for files in rows.files]
    regions = [tuple(split_region(path)[1] for path in paths) for paths in rows.images]
    whole: list[tuple[Hashable, ...]] = [
        ((mention, context, span, files, boxes),) if context or files else ()
        for mention, context, span, files, boxes in zip(
            rows.mention, rows.context, rows.span, images, regions, strict=True
        )
    ]
    return {
        "row": whole,
        "caption": [(context,) if context else () for context in rows.context],
        "image": images,
    }


@dataclass(frozen=True)
class Shared:
    """Which rows share a key with a row of another split.

    Attributes:
        rows: [n], the rows that do.
        same_gold: [n], those of them where a sibling has a gold of the row.
        other_gold: [n], those where siblings have golds, and none is the row's own.
        partner: Row → the first sibling.
    """

    rows: Mask
    same_gold: Mask
    other_gold: Mask
    partner: Mapping[int, int]


def find_shared(keys: Keys, golds: Sequence[tuple[str, ...]], left: Mask, right: Mask) -> Shared:
    """Compares the rows of `left` with those of `right`; rows of neither are False throughout.

    Example:
        >>> keys, golds = [("a",), ("a",), ("b",)], [("Q1",), ("Q2",), ("Q3",)]
        >>> shared = find_shared(keys, golds, np.array([True, False, True]), np.array([False, True, False]))
        >>> shared.rows.tolist(), shared.other_gold.tolist(), shared.partner
        ([True, False, False], [True, False, False], {0: 1})
    """
    siblings: dict[Hashable, list[int]] = {}
    for row in np.flatnonzero(right).tolist():
        for key in keys[row]:
            siblings.setdefault(key, []).append(row)
    masks = np.zeros((3, len(keys)), dtype=bool)
    partner: dict[int, int] = {}
    for row in np.flatnonzero(left).tolist():
        found = sorted({other for key in keys[row] for other in siblings.get(key, ())})
        if found:
            alike = [other for other in found if not set(golds[row]).isdisjoint(golds[other])]
            masks[:, row] = True, bool(alike), bool(golds[row]) and any(golds[other] for other in found) and not alike
            partner[row] = (alike or found)[0]
    return Shared(masks[0], masks[1], masks[2], partner)


def check_overlap(
    rows: Rows, keys: Mapping[str, Keys], splits: Sequence[str], thresholds: Thresholds
) -> Iterator[Finding]:
    """Findings on each evaluated split against train, and on test against dev."""
    for split in splits:
        for kind in PLURAL:
            yield _between(rows, kind, keys[kind], split, "train", thresholds)
    if set(EVALUATED) <= set(splits):
        for kind in PLURAL:
            yield _between(rows, kind, keys[kind], "test", "dev", thresholds)


def _between(rows: Rows, kind: str, keys: Keys, split: str, other: str, thresholds: Thresholds) -> Finding:
    name = f"{PLURAL[kind]} that stand in {other} too"
    left, right = rows.in_splits(split), rows.in_splits(*(train_splits(split) if other == "train" else (other,)))
    places = [i for i in np.flatnonzero(left).tolist() if keys[i]]
    if not right.any():
        return Finding(name, "not checked", f"No row is in {other}.", split)
    if not places:
        return Finding(name, "not checked", f"No row of {split} has {'an image' if kind == 'image' else 'one'}.", split)
    shared = find_shared(keys, rows.golds, left, right)
    same, excluded = int(shared.same_gold.sum()), int(shared.other_gold.sum())
    verdict, says = _verdict(kind, other, same, excluded, thresholds) if shared.rows.any() else _NONE
    return Finding(
        name,
        verdict,
        says,
        split,
        int(shared.rows.sum()),
        len(places),
        {"with_the_same_gold": same, "with_other_golds_only": excluded},
        first(f"{rows.ids[row]} ~ {rows.ids[sibling]}" for row, sibling in shared.partner.items()),
    )


def _verdict(kind: str, other: str, same: int, excluded: int, thresholds: Thresholds) -> tuple[Verdict, str]:
    if kind == "row" and same:
        return "leak", f"The question stands in {other} with its answer: to remember is enough."
    told = same + excluded
    if excluded and same <= thresholds.sibling_same * told:
        often = f"the row's own in only {same:,} of {told:,}" if same else "never the row's own"
        return "leak", f"The gold of the sibling in {other} is {often}: a model can rule it out."
    seen = f"the sibling in {other} has the row's own gold in {same:,} of {told:,}" if told else "no sibling has a gold"
    return "warning", f"Part of the evidence was seen in {other}; {seen}."


def repeated_rows(rows: Rows, keys: Keys) -> tuple[Mask, Mask, dict[int, int]]:
    """Rows that repeat an earlier row of their split, as `row` of `keys_of` sees it.

    Returns:
        [n] repeats with an answer that an equal row gave before; [n] repeats with a new answer; row → the first such
        row.
    """
    answers: dict[Hashable, dict[frozenset[str], int]] = {}
    equal, contrary = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    partner = {}
    for row, (split, key, golds) in enumerate(zip(rows.split.tolist(), keys, map(frozenset, rows.golds), strict=True)):
        for question in key:
            known = answers.setdefault((split, question), {})
            if known:
                (equal if golds in known else contrary)[row] = True
                partner[row] = known.get(golds, next(iter(known.values())))
            known.setdefault(golds, row)
    return equal, contrary, partner


def check_repeats(rows: Rows, keys: Keys, splits: Sequence[str]) -> Iterator[Finding]:
    """A finding on train and on each evaluated split: equal rows."""
    equal, contrary, partner = repeated_rows(rows, keys)
    for split, within in [("train", train_splits("dev")), *((split, (split,)) for split in splits)]:
        here = rows.in_splits(*within)
        if not here.any():
            continue
        found = here & (equal | contrary)
        verdict: Verdict = "ok" if not found.any() else "note" if split == "train" else "warning"
        yield Finding(
            "rows that repeat a row of their split",
            verdict,
            {
                "ok": "Every row is asked once.",
                "note": "Training weighs these rows more than others.",
                "warning": "These rows count more than once, and intervals over rows are too narrow.",
            }[verdict],
            split,
            int(found.sum()),
            int(here.sum()),
            {"with_another_answer": int((here & contrary).sum())},
            first(f"{rows.ids[row]} = {rows.ids[partner[row]]}" for row in np.flatnonzero(found).tolist()),
        )
