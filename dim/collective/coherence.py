"""How well two entities go together in one text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from dim.core.arrays import Doubles, Rows
from dim.reranker.entities import EntityFacts
from dim.reranker.words import fold_name

SAMPLE = 1024  #: Entities whose mean stands for that of the KB.
#: What is compared of a pair, and what it means.
COHERENCE = {
    "vectors": "product of the entities' unit vectors, less their mean over the KB",
    "words": "the same of the words of their texts, weighted by rarity",
    "same": "both are one entity",
    "same_name": "both are one entity, and the mentions one string",
}


class Coherence:
    """Compares candidates of different mentions of a text.

    Vectors are centred: some entities, such as those with long texts, are near to all others, and would gain in any
    company.

    Args:
        facts: Of the KB's entities, as it is now.
        vectors: KB rows [m] → their vectors [m, d], zeros for one without; None: the method has none.
    """

    def __init__(self, facts: EntityFacts, vectors: Callable[[Rows], NDArray[np.float32]] | None = None) -> None:
        self.facts, self.vectors = facts, vectors

    def of(self, rows: Rows, mentions: Sequence[str], owners: Rows) -> Doubles:
        """What speaks for each pair of candidates: [m, m, num_features], in the order of `COHERENCE`.

        Args:
            rows: [m], KB rows of the candidates of all mentions of a text.
            mentions: [n], the strings of these mentions.
            owners: [m], the mention of each candidate. Candidates of one mention never stand beside each other: zeros.
        """
        names = np.unique([fold_name(mention) for mention in mentions], return_inverse=True)[1][owners]
        same = rows[:, None] == rows
        parts = [
            np.zeros(same.shape) if self.vectors is None else _near(self._vectors(rows), self._means[0]) * ~same,
            _near(self._words(rows), self._means[1]) * ~same,
            same,
            same & (names[:, None] == names),
        ]
        return np.asarray(np.stack(parts, axis=2) * (owners[:, None] != owners)[:, :, None], np.float64)

    @cached_property
    def _means(self) -> tuple[Doubles, Doubles]:
        """Those of unit vectors, and of words."""
        there = self.facts.rows
        rows = there[np.unique(np.linspace(0, len(there) - 1, min(len(there), SAMPLE)).astype(np.int64))]
        vectors = np.zeros(0) if self.vectors is None else self._vectors(rows).mean(0)
        return vectors, np.asarray(self._words(rows).mean(0)).ravel()

    def _vectors(self, rows: Rows) -> Doubles:
        assert self.vectors is not None
        found = self.vectors(rows).astype(np.float64)
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12), np.float64)

    def _words(self, rows: Rows) -> sp.csr_matrix:
        words, places = self.facts.text_words.of(rows)
        weights = self.facts.word_weights[words]
        lengths = np.sqrt(np.bincount(places, weights**2, len(rows)))
        values = weights / np.maximum(lengths, 1e-12)[places]
        return sp.csr_matrix((values, (places, words)), (len(rows), len(self.facts.vocabulary)))


def _near(unit: Doubles | sp.csr_matrix, mean: Doubles) -> Doubles:
    """The products [m, m] of unit vectors less their mean; 0 for one that has none."""
    products = unit @ unit.T
    found: Doubles = products.toarray() if sp.issparse(products) else products
    along, is_there = unit @ mean, found.diagonal() > 0
    return (found - along - along[:, None] + mean @ mean) * (is_there & is_there[:, None])
