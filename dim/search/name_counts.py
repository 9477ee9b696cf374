"""What an index of names is made of: words as numbers, and how often each n-gram is in them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.search.jagged import Jagged
from dim.search.lexical import ngrams_of, words_of

NGRAM = "<U4"  #: Of the longest n-gram.


@dataclass(frozen=True)
class Ngrams:
    """N-grams by their numbers; those that come later get the next ones.

    Attributes:
        texts: [n], by number, each once.
        order: [n], the numbers in the order of the texts.
    """

    texts: NDArray[np.str_]
    order: Rows

    @classmethod
    def of(cls, texts: NDArray[np.str_]) -> Self:
        """Those of numbers 0 … n - 1. Raises ValueError where one stands there twice."""
        order = np.arange(len(texts))
        if not (texts[1:] > texts[:-1]).all():
            order = np.argsort(texts)
            if (texts[order[1:]] == texts[order[:-1]]).any():
                raise ValueError("n-grams that stand there twice")
        return cls(texts, order)

    def __len__(self) -> int:
        return len(self.texts)

    def numbers(self, texts: NDArray[np.str_]) -> Rows:
        """The number [m] of each of some n-grams; -1 where it has none."""
        places = np.searchsorted(self.texts, texts, sorter=self.order).clip(max=len(self) - 1)
        found = self.order[places]
        return np.where(self.texts[found] == texts, found, -1)

    def joined(self, texts: NDArray[np.str_]) -> Ngrams:
        """With further ones, ascending, of which none has a number."""
        places = np.searchsorted(self.texts, texts, sorter=self.order)
        order = np.insert(self.order, places, np.arange(len(self), len(self) + len(texts)))
        return Ngrams(np.concatenate([self.texts, texts]), order)


def numbered(strings: Iterable[str]) -> tuple[Jagged, list[str]]:
    """The words of strings as numbers, and the words by their numbers, each once.

    Example:
        >>> found, words = numbered(["Ann Lee", "Lee"])
        >>> found.values.tolist(), words
        ([0, 1, 1], ['ann', 'lee'])
    """
    numbers: dict[str, int] = {}
    values, sizes = array("i"), array("i")
    for string in strings:
        own = [numbers.setdefault(word, len(numbers)) for word in words_of(string)]
        values.extend(own)
        sizes.append(len(own))
    return Jagged.of_sizes(np.array(sizes, np.int64), np.array(values, np.int32)), list(numbers)


def count_ngrams(words: Iterable[str]) -> tuple[NDArray[np.str_], sp.csr_matrix]:
    """The n-grams of words, ascending, and how often each is in each word [num_words, num_ngrams]."""
    numbers: dict[str, int] = {}
    columns, times, sizes = array("i"), array("i"), array("i")
    for word in words:
        counts = Counter(ngrams_of(word))
        columns.extend([numbers.setdefault(ngram, len(numbers)) for ngram in counts])
        times.extend(counts.values())
        sizes.append(len(counts))
    ngrams = np.array(list(numbers), NGRAM)
    order = np.argsort(ngrams)
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order))
    lists = Jagged.of_sizes(np.array(sizes, np.int64), places[np.array(columns, np.int32)])
    return ngrams[order], _matrix(lists, np.array(times, np.int32), len(ngrams))


def of_known(found: NDArray[np.str_], counts: sp.csr_matrix, ngrams: Ngrams) -> sp.csr_matrix:
    """What `count_ngrams` gave, by the numbers of some n-grams [num_words, num_ngrams]; others are left out."""
    numbers = ngrams.numbers(found)
    known = np.flatnonzero(numbers >= 0)
    counts = counts[:, known]
    columns = numbers[known][counts.indices].astype(np.int32)
    return _matrix(Jagged(counts.indptr, columns), counts.data, len(ngrams))


def _matrix(columns: Jagged, times: NDArray[np.int32], width: int) -> sp.csr_matrix:
    found = sp.csr_matrix((times, columns.values, columns.starts), (len(columns), width))
    found.sort_indices()
    return found
