"""Search by name: character n-gram TF-IDF, the string floor that every linker has to beat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from dim.core.arrays import Rows
from dim.core.ngrams import ngrams_within
from dim.core.text_form import one_form
from dim.search.exact import Best
from dim.search.scores import SLICE, Scores
from dim.search.sparse import SparseKB, SparseProducts, sparse_products

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

SEARCHED = 64  # mentions that are searched at once: sorting takes four times the memory of their scores
SIZES = range(2, 5)  #: Characters of an n-gram, as `name_vectorizer` has them.


def name_vectorizer() -> TfidfVectorizer:
    """An unfitted TF-IDF of character n-grams: 2 to 4 characters within words, sublinear counts, float32."""
    # A saved index does without: scikit-learn takes as long to import as half of torch
    from sklearn.feature_extraction.text import TfidfVectorizer

    sizes = SIZES[0], SIZES[-1]
    return TfidfVectorizer(
        preprocessor=_lowered, analyzer="char_wb", ngram_range=sizes, sublinear_tf=True, dtype=np.float32
    )


def _lowered(text: str) -> str:
    return one_form(text).lower().replace("\0", " ")  # NumPy takes it for the end of a text


def words_of(text: str) -> list[str]:
    """The words of a text, which no n-gram reaches over."""
    return _lowered(text).split()


def ngrams_of(text: str) -> list[str]:
    """The n-grams of a text, as the analyzer of `name_vectorizer` has them.

    Example:
        >>> ngrams_of("Ada")
        [' a', 'ad', 'da', 'a ', ' ad', 'ada', 'da ', ' ada', 'ada ']
    """
    return list(ngrams_within(words_of(text), SIZES))


class NameIndex:
    """The names of a KB, compared with a mention by the cosine of character n-grams within words.

    n-grams of 2 to 4 characters (`char_wb`), sublinear counts, weighted by TF-IDF fitted on the names.

    Args:
        names: One name an entity, in KB order.
        aliases: Other names of each entity, which then counts by the best of its strings; None: names alone.
    """

    def __init__(self, names: Iterable[str], aliases: Sequence[Sequence[str]] | None = None) -> None:
        self._vectorizer = name_vectorizer()
        self._names = SparseKB(self._vectorizer.fit_transform(names).T)
        others = [(row, alias) for row, of in enumerate(aliases or ()) for alias in of if alias.strip()]
        owners = np.array([row for row, _ in others], dtype=np.int64)
        self._others = (
            OtherStrings(self._vectorizer.transform([alias for _, alias in others]), owners) if others else None
        )

    @property
    def names_alone(self) -> NameIndex:
        """The same without other names."""
        alone = copy(self)
        alone._others = None
        return alone

    def scores(self, mentions: Sequence[str], device: torch.device | str = "cpu") -> Scores:
        """Cosines [n, num_entities] between 0 and 1, float32, in the order of the mentions."""
        queries = self._vectorizer.transform(mentions)
        if self._others is None:
            return SparseProducts(queries, self._names, device)
        return BestStrings(SparseProducts(queries, self._names), self._others, device)

    def search(self, mentions: Sequence[str], k: int) -> NDArray[np.int64]:
        """The KB rows [n, k] of the k most similar names, best first; equal names in KB order."""
        k = min(k, self._names.num_entities)
        unique, place = np.unique(np.asarray(mentions, dtype=object), return_inverse=True)
        starts = range(0, len(unique), SEARCHED)
        found = [Best.of(self.scores(unique[start : start + SEARCHED].tolist()), k).columns.numpy() for start in starts]
        return np.concatenate([*found, np.empty((0, k), dtype=np.int64)])[place]


class OtherStrings:
    """Further strings of entities, in parts that follow the slices of the KB.

    Args:
        vectors: [num_others, num_columns], float32.
        owners: [num_others], the entity of each, ascending.

    Attributes:
        parts: Of at most `SLICE` strings, their owners and their postings [num_columns, num_strings].
    """

    def __init__(self, vectors: sp.csr_matrix, owners: Rows) -> None:
        slices = np.arange(0, owners[-1] + SLICE + 1, SLICE)  # the last one ends behind the last owner
        ends = np.searchsorted(owners, slices).tolist()
        starts = [start for first, last in pairwise(ends) for start in range(first, last, SLICE)]
        places = [slice(start, end) for start, end in pairwise([*starts, len(owners)])]
        self.parts = [(owners[place], vectors[place].T.tocsr()) for place in places]

    def of(self, entities: slice) -> Iterator[tuple[Rows, sp.csr_matrix]]:
        """The parts of some entities, without what they have of others."""
        for owners, postings in self.parts:
            first, last = np.searchsorted(owners, [entities.start, entities.stop]).tolist()
            if (first, last) == (0, len(owners)):
                yield owners, postings
            elif first < last:
                yield owners[first:last], postings[:, first:last]


class BestStrings(Scores):
    """Of each entity the best score of its strings.

    Args:
        of_names: Of one string an entity, on the CPU.
        others: The further ones.
        device: Where the scores go.
    """

    def __init__(self, of_names: SparseProducts, others: OtherStrings, device: torch.device | str = "cpu") -> None:
        super().__init__(of_names.num_mentions, of_names.num_entities)
        self.of_names, self.others, self.device = of_names, others, device

    def of(self, entities: slice) -> Tensor:
        """The best, string by string."""
        return self._with_others(self.of_names.of(entities), self.of_names.queries, entities)

    def of_some(self, entities: slice, mentions: Tensor) -> Tensor:
        """Of these mentions alone."""
        queries = self.of_names.queries[mentions.cpu().numpy()]
        return self._with_others(self.of_names.of_some(entities, mentions), queries, entities)

    def _with_others(self, scores: Tensor, queries: sp.csr_matrix, entities: slice) -> Tensor:
        best = scores.numpy()
        for owners, postings in self.others.of(entities):
            columns = owners - entities.start
            for row, of_strings in zip(best, sparse_products(queries, postings), strict=True):
                np.maximum.at(row, columns, of_strings)
        return scores.to(self.device)
