"""Rows that were left out, told by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NUM_EXAMPLES = 5


@dataclass
class Skipped:
    """Rows that a converter left out: how many for each reason, and the first few of them."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, example: str) -> None:
        """Counts one row for `reason` and keeps it as an example while there are fewer than five others.

        Example:
            >>> skipped = Skipped()
            >>> for path in ("a.jpg", "a.jpg", "b.jpg"):
            ...     skipped.add("no such file", path)
            >>> skipped.as_json()
            {'no such file': {'count': 3, 'examples': ['a.jpg', 'b.jpg']}}
        """
        self.counts[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < NUM_EXAMPLES and example not in shown:
            shown.append(example)

    def add_all(self, told: Mapping[str, Any]) -> None:
        """Counts rows that were left out elsewhere, as `as_json` tells of them.

        Example:
            >>> skipped = Skipped()
            >>> skipped.add("no JSON", "line 3")
            >>> skipped.add_all({"no JSON": {"count": 7, "examples": ["line 9"]}})
            >>> skipped.as_json()
            {'no JSON': {'count': 8, 'examples': ['line 3', 'line 9']}}
        """
        for reason, of in told.items():
            self.counts[reason] += of["count"]
            shown = dict.fromkeys([*self.examples.get(reason, ()), *of["examples"]])
            self.examples[reason] = list(shown)[:NUM_EXAMPLES]

    @property
    def total(self) -> int:
        """The number of rows left out, for whatever reason."""
        return self.counts.total()

    def as_json(self) -> dict[str, Any]:
        """Reason → count and examples, for `dataset.json`."""
        return {reason: {"count": n, "examples": self.examples[reason]} for reason, n in self.counts.items()}
