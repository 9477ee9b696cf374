"""Search by name: character n-gram TF-IDF, the string floor that every linker has to beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

CHUNK = 512


class NameIndex:
    """The names of a KB, compared with a mention by the cosine of character n-grams within words.

    n-grams of 2 to 4 characters (`char_wb`), sublinear counts, weighted by TF-IDF fitted on the names.

    Args:
        names: One name an entity, in KB order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32)
        self._names = self._vectorizer.fit_transform(names).T.tocsc()

    def scores(self, mentions: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        """Yields blocks [up to 512, num_entities] of cosines between 0 and 1, in the order of the mentions."""
        vectors = self._vectorizer.transform(mentions)
        for start in range(0, len(mentions), CHUNK):
            yield (vectors[start : start + CHUNK] @ self._names).toarray()

    def search(self, mentions: Sequence[str], k: int) -> NDArray[np.int64]:
        """The KB rows [n, k] of the k most similar names, best first; equal names in KB order."""
        k = min(k, self._names.shape[1])
        unique, place = np.unique(np.asarray(mentions, dtype=object), return_inverse=True)
        found = [
            np.argsort(-block, axis=1, kind="stable")[:, :k] if k > block.shape[1] // 4 else _largest(block, k)
            for block in self.scores(unique.tolist())
        ]
        return np.concatenate([*found, np.empty((0, k), dtype=np.int64)])[place]


def _largest(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    columns = np.argpartition(-scores, k, axis=1)[:, :k]
    columns.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
