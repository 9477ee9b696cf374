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
    """The limits at which a finding gets a worse verdict. Shares are between 0 and 1.

    Attributes:
        image_distance: Two images are duplicates if their perceptual hashes (64 bits) differ in at most so many bits.
        high_floor: Top-1 of the string-match baseline from which on it is noted.
        floor_rise: The string-match baseline is computed again without the golds of train in the KB: a rise of its
            Top-1 by at least this much is a warning, because ruling out the entities of train helps.
        kb_golds: Share of the KB that is the gold of some mention, from which on the KB is a list of answers.
        golds_once: Share of gold entities with exactly one mention, from which on answers can be found by exclusion.
        golds_seen: Share of the evaluated gold entities that are also gold in train, from which on seen and unseen
            entities should be reported apart. Where no evaluated gold is: share of the KB that is gold in train, from
            which on a model can rule that part of the KB out.
        sibling_same: Rows of other splits share a caption or an image with rows of train. If at most this share of them
            has the same gold as its row in train, the row in train rules its gold out.
        missing: Share of entities without a text (or without an image), from which on it is a warning.
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
