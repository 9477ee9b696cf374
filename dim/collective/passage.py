"""The mentions of a text with their candidates, and the likeliest ways to answer all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dim.core.arrays import Doubles, Rows
from dim.reranker.calibration import softmax

WIDTH = 4096  #: Ways that are kept after each mention: six mentions with four candidates are exact.


@dataclass(frozen=True)
class Passage:
    """A text's mentions.

    Attributes:
        own: Of each mention the log-probabilities [c] of its candidates, alone.
        pairs: [m, m, num_features], of each pair of candidates of all mentions, in their order.
    """

    own: Sequence[Doubles]
    pairs: Doubles

    @cached_property
    def starts(self) -> Rows:
        """[n + 1], where the candidates of each mention begin among all."""
        return np.cumsum([0, *map(len, self.own)])

    @property
    def share(self) -> float:
        """What each of a mention's pairs counts, so that all of them count as one, whatever the text's length."""
        return 1 / max(1, len(self.own) - 1)

    def ways(self, weights: Doubles, width: int = WIDTH) -> tuple[Rows, Doubles]:
        """The likeliest ways to answer all mentions, by beam search: the surest mention first.

        Args:
            weights: [num_features], of coherence.
            width: Ways at most. Where there are no more, these are all.

        Returns:
            [w, n], the place of each mention's candidate in its list, and scores [w]: the sum of log-probabilities and
            of coherence.
        """
        pull = self.pairs @ weights * self.share
        places, scores = np.zeros((1, 0), np.int64), np.zeros(1)
        order = np.argsort([-own.max() for own in self.own], kind="stable")
        for mention in order:
            start, own = self.starts[mention], self.own[mention]
            gains = own + pull[:, start : start + len(own)][places].sum(1)
            totals = (scores[:, None] + gains).ravel()
            kept = np.argsort(-totals, kind="stable")[:width]
            parents, chosen = np.divmod(kept, len(own))
            places, scores = np.column_stack([places[parents], start + chosen]), totals[kept]
        found = np.empty_like(places)
        found[:, order] = places - self.starts[order]
        return found, scores

    def coherence(self, ways: Rows) -> Doubles:
        """The features [w, num_features] of ways [w, n], summed over pairs of mentions as `ways` weights them."""
        places = ways + self.starts[:-1]
        # Each pair stands twice in the square.
        return np.stack([self.pairs[each[:, None], each].sum((0, 1)) for each in places]) * (self.share / 2)

    def together(self, weights: Doubles) -> list[Doubles]:
        """The probabilities [c] of each mention's candidates, all others of the text considered.

        Those that a mention has beside what a way says of the others, averaged over the ways. Where all are kept they
        are the marginals; where few of a long text's are, a candidate in none of them keeps what it has beside them.
        """
        ways, scores = self.ways(weights)
        chosen = np.zeros((len(ways), self.starts[-1]))
        np.put_along_axis(chosen, ways + self.starts[:-1], 1.0, axis=1)
        pulls = np.split(chosen @ (self.pairs @ weights) * self.share, self.starts[1:-1], axis=1)
        return [softmax(scores) @ softmax(own + pull) for own, pull in zip(self.own, pulls, strict=True)]
