"""Lists of candidates with their features, one after another in flat arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Floats, Rows


@dataclass(frozen=True)
class Lists:
    """The candidates of n mentions.

    Attributes:
        features: [num_pairs, num_features] float32.
        rows: [num_pairs] KB rows.
        starts: [n + 1], where each mention's pairs start.
        gold: [n], the gold's place in its list, of several the first that is listed; -1 where the list holds none.
    """

    features: Floats
    rows: Rows
    starts: Rows
    gold: Rows

    def __len__(self) -> int:
        return len(self.gold)

    @classmethod
    def of_none(cls, num_features: int) -> Lists:
        """The lists of no mention."""
        none = np.empty(0, np.int64)
        return cls(np.empty((0, num_features), np.float32), none, np.zeros(1, np.int64), none)

    @classmethod
    def join(cls, parts: Iterable[tuple[Rows, NDArray[np.float64], int | Rows]]) -> Lists:
        """The lists of mentions, one at least: KB rows [c], features [c, num_features], KB rows of the golds."""
        rows, features, gold = zip(*parts, strict=True)
        places = [np.flatnonzero(np.isin(found, wanted)) for found, wanted in zip(rows, gold, strict=True)]
        return cls(
            features=np.concatenate(features).astype(np.float32),
            rows=np.concatenate(rows),
            starts=np.concatenate([[0], np.cumsum([len(found) for found in rows])]).astype(np.int64),
            gold=np.array([place[0] if len(place) else -1 for place in places], dtype=np.int64),
        )

    def take(self, which: Rows) -> Lists:
        """Some of the lists [m], in the order given."""
        sizes = np.diff(self.starts)[which]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        pairs = np.arange(starts[-1]) + np.repeat(self.starts[which] - starts[:-1], sizes)
        return Lists(self.features[pairs], self.rows[pairs], starts, self.gold[which])

    @classmethod
    def concatenate(cls, parts: list[Lists]) -> Lists:
        """The lists of all parts, in order."""
        sizes = np.concatenate([np.diff(part.starts) for part in parts])
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.rows for part in parts]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate([part.gold for part in parts]),
        )

    def table(self, values: Floats) -> Floats:
        """Values [num_pairs] as a table [n, longest], -inf as padding."""
        sizes = np.diff(self.starts)
        mask = np.arange(int(sizes.max(initial=0))) < sizes[:, None]
        found = np.full(mask.shape, -np.inf, dtype=values.dtype)
        found[mask] = values
        return found
