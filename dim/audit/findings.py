"""What an audit says: findings with a verdict each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Literal

import pandas as pd

#: Part of `audit.json`: raise it when a check or its figures change.
AUDIT_VERSION = 1
NUM_EXAMPLES = 5

Verdict = Literal["ok", "note", "warning", "leak", "not checked"]


@dataclass(frozen=True)
class Thresholds:
    """Where a verdict turns.

    Attributes:
        image_distance: Images whose perceptual hashes differ in at most so many of 64 bits are duplicates.
        high_floor: A string floor from this Top-1 on is a note.
        floor_rise: A floor that rises by this share once the golds of train are out of the KB is a warning.
        kb_golds: From this share of the KB that is gold somewhere on, the KB is made of the answers.
        golds_once: From this share of golds that are gold of one mention only on, answers can be told by exclusion.
        golds_seen: From this share of evaluated golds that are gold in train on, figures need to stand apart; where
            none is, from this share of the KB that is gold in train on, it can be ruled out.
        sibling_same: Where rows that share evidence with train have the gold of a sibling there in at most this share,
            the sibling rules its gold out.
        missing: From this share of entities without text or image on, what is missing is a warning.
    """

    image_distance: int = 4
    high_floor: float = 0.8
    floor_rise: float = 0.02
    kb_golds: float = 0.5
    golds_once: float = 0.9
    golds_seen: float = 0.1
    sibling_same: float = 0.05
    missing: float = 0.05


@dataclass(frozen=True)
class Finding:
    """One line of an audit.

    Attributes:
        name: What was looked for.
        verdict: `ok`; `note`: know it when you read a figure; `warning`: say it beside the figure; `leak`: the answer
            can be had without linking; `not checked`: the data cannot tell.
        says: One sentence on what it means for a reported number, or why it was not checked.
        split: The split concerned; None: the dataset as a whole.
        count: How many rows, entities or files have it; None where nothing is counted.
        of: Out of how many.
        figures: Further numbers.
        examples: The first few that were counted, by id.
    """

    name: str
    verdict: Verdict
    says: str
    split: str | None = None
    count: int | None = None
    of: int | None = None
    figures: Mapping[str, float | int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    @property
    def share(self) -> float | None:
        """`count` of `of`; None where there is nothing to count.

        Example:
            >>> Finding("x", "note", "", count=1, of=4).share
            0.25
        """
        return self.count / self.of if self.count is not None and self.of else None

    def as_json(self) -> dict[str, Any]:
        """The finding in the types of JSON."""
        values = asdict(self)
        share = None if self.share is None else round(self.share, 6)
        return values | {"share": share, "figures": dict(self.figures), "examples": list(self.examples)}


@dataclass(frozen=True)
class Audit:
    """The outcome of an audit.

    Attributes:
        dataset: The dataset's name.
        dataset_hash: Its hash.
        kb_hash: The hash of its KB.
        splits: The evaluated splits, which the findings are about.
        thresholds: Where the verdicts turn.
        findings: In the order of the checks.
        rows: One row a mention, in the dataset's order, with what `subsets` decides by: `id`, `split`, `floor_rank`
            (null where the row was not ranked), and yes or no for `duplicate`, `row_in_train`, `caption_in_train`,
            `image_in_train` and `image_leak`. Not part of the JSON.
    """

    dataset: str
    dataset_hash: str
    kb_hash: str
    splits: tuple[str, ...]
    thresholds: Thresholds
    findings: tuple[Finding, ...]
    rows: pd.DataFrame = field(repr=False, compare=False)

    def find(self, name: str, split: str | None = None) -> Finding:
        """One finding by its name and split. Raises KeyError where there is none."""
        for finding in self.findings:
            if (finding.name, finding.split) == (name, split):
                return finding
        raise KeyError((name, split))

    def as_json(self) -> dict[str, Any]:
        """What `audit.json` holds; the same dataset and thresholds always give the same."""
        return {
            "audit_version": AUDIT_VERSION,
            "dataset": self.dataset,
            "dataset_hash": self.dataset_hash,
            "kb_hash": self.kb_hash,
            "splits": list(self.splits),
            "thresholds": asdict(self.thresholds),
            "findings": [finding.as_json() for finding in self.findings],
        }


def first(ids: Iterable[str]) -> tuple[str, ...]:
    """The first few, as examples.

    Example:
        >>> first("abcdefg")
        ('a', 'b', 'c', 'd', 'e')
    """
    return tuple(islice(ids, NUM_EXAMPLES))
