"""How many of the true nearest vectors a search finds, and the least effort that finds enough of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Floats, Rows
from dim.search.codes import CodeStore
from dim.search.stores import ExactStore, FaissStore, pair_scores

AT = 10
NUM_SAMPLED = 500  # queries, where none are given
NOISE = 0.5  # length of the noise on a sampled vector, a part of its own, which then is at a cosine of about 0.9 to it
TIE = 1e-6
SPARE = 8  # answers beside the k that are asked for, so that ties at the end are seen


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of the k nearest vectors that a search finds, measured against all vectors as float32.

    Attributes:
        at_10: Of the 10 nearest.
        at_k: Of the k nearest.
        k: As asked for at build time, at most the size of the KB.
        num_queries: 0 where the search is exact by its nature, so that nothing was measured.
        wanted: Of the k nearest, by the caller.
    """

    at_10: float
    at_k: float
    k: int
    num_queries: int
    wanted: float

    @property
    def is_reached(self) -> bool:
        """Whether `at_k` is at least what was wanted."""
        return self.at_k >= self.wanted

    def __str__(self) -> str:
        if not self.num_queries:
            return "exact: recall 1"
        missed = "" if self.is_reached else f", which was not reached: wanted {self.wanted}"
        return f"recall@10 {self.at_10:.4f}, recall@{self.k} {self.at_k:.4f} over {self.num_queries} queries{missed}"


class RecallSample:
    """Queries with the scores of their true nearest vectors.

    Args:
        vectors: All of them, [n, d], n ≥ 1.
        queries: [b, d]; None: vectors of the KB with noise.
        k: Nearest vectors that count.
        seed: Of the noise.
    """

    def __init__(self, vectors: Floats, queries: Floats | None, k: int, seed: int = 0) -> None:
        self.vectors, self.k = vectors, min(k, len(vectors))
        self.queries = near(vectors, NUM_SAMPLED, seed) if queries is None else queries
        self.truth = ExactStore(vectors).found(self.queries, max(self.k, AT))[0]
        self.truth = -np.sort(-self.truth, axis=1)

    def hits(self, store: FaissStore, at: int) -> NDArray[np.float64]:
        """Of each query, the share of its `at` nearest that the store finds; among equally near ones any will do."""
        at = min(at, len(self.vectors))
        positions: Rows = store.found(self.queries, self.k + SPARE)[1][:, :at]
        scores = pair_scores(self.queries, self.vectors, positions)
        share: NDArray[np.float64] = (scores >= self.truth[:, at - 1 : at] - TIE).sum(1) / at
        return share

    def measure(self, store: FaissStore, wanted: float) -> Recall:
        """The store's recall."""
        at_10, at_k = (float(self.hits(store, at).mean()) for at in (AT, self.k))
        return Recall(at_10, at_k, self.k, len(self.queries), wanted)

    def tune(self, store: FaissStore, wanted: float) -> None:
        """Sets the store's least effort whose recall@k reaches `wanted`, or comes as near to it as the most does.

        Where codes choose candidates, then the fewest of these. Recall counts less two standard errors, since the
        queries that choose also measure it.
        """
        store.width = self.k + SPARE
        if isinstance(store, CodeStore):
            store.rescored = store.most_rescored
        reached = self._least(store, "effort", store.least, store.most, wanted)
        if isinstance(store, CodeStore):
            self._least(store, "rescored", store.width, store.most_rescored, min(wanted, reached))

    def _least(self, store: FaissStore, name: str, least: int, most: int, wanted: float) -> float:
        """Sets the store's attribute to the least value that reaches `wanted`, and gives what the recall is then."""
        value, below = least, least - 1
        while (reached := self._surely(store, name, value)) < wanted and value < most:
            below, value = value, min(2 * value, most)
        if reached < wanted:  # what the storage rounds away, no effort brings back
            below, wanted = least - 1, reached
        while value - below > max(1, value // 16):
            middle = (below + value) // 2
            found = self._surely(store, name, middle)
            below, value, reached = (below, middle, found) if found >= wanted else (middle, value, reached)
        setattr(store, name, value)
        return reached

    def _surely(self, store: FaissStore, name: str, value: int) -> float:
        setattr(store, name, value)
        hits = self.hits(store, self.k)
        return float(hits.mean() - 2 * hits.std() / np.sqrt(len(hits)))


def near(vectors: Floats, count: int, seed: int = 0) -> Floats:
    """Up to `count` [count, d] of the vectors, moved by noise, of length 1; zeros stay zeros."""
    rng = np.random.default_rng(seed)
    chosen = vectors[np.sort(rng.choice(len(vectors), min(count, len(vectors)), replace=False))]
    noise = NOISE * vectors.shape[1] ** -0.5 * rng.standard_normal(chosen.shape, dtype=np.float32)
    moved = chosen + noise * np.linalg.norm(chosen, axis=1, keepdims=True)
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.ascontiguousarray(np.divide(moved, lengths, out=np.zeros_like(moved), where=lengths > 0))
