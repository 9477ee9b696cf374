"""What an index of names is made of: words as numbers, and how often each n-gram is in them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from dim.search.jagged import Jagged
from dim.search.lexical import ngrams_of, words_of

NGRAM = "<U4"  #: Of the longest n-gram.


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


def count_known(words: Iterable[str], ngrams: NDArray[np.str_]) -> sp.csr_matrix:
    """How often each of some n-grams, ascending, is in each word [num_words, num_ngrams]; others are left out."""
    found, counts = count_ngrams(words)
    places = np.searchsorted(ngrams, found).clip(max=len(ngrams) - 1)
    known = np.flatnonzero(ngrams[places] == found)
    counts = counts[:, known]
    columns = places[known][counts.indices].astype(np.int32)
    return _matrix(Jagged(counts.indptr, columns), counts.data, len(ngrams))


def _matrix(columns: Jagged, times: NDArray[np.int32], width: int) -> sp.csr_matrix:
    found = sp.csr_matrix((times, columns.values, columns.starts), (len(columns), width))
    found.sort_indices()
    return found
