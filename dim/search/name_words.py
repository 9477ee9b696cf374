"""Strings by their words: who shares the most n-grams with a query, found without looking at all who share something.

An n-gram never reaches over the end of a word. So what a string shares with a query is at most the sum of what its
words share, and there are far fewer words than strings: each word is compared with the query once, and only strings are
looked at that have a word which shares enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from dim.core.arrays import Doubles, Rows
from dim.search.jagged import Jagged, concatenated, spans

Shorts = NDArray[np.float32]

ROUNDING = 1e-5  #: More than a score is off that is worked out in single precision.
LEAST_SHARE = 0.1  #: Of a query; who shares less is not looked at apart.
BLOCK = 2**16  #: Strings whose n-grams are counted together.
CELLS = 2**22  #: Of a table of strings and n-grams.

Worst = Callable[[Rows, Doubles], float]


@dataclass(frozen=True)
class Query:
    """A string that is compared with others.

    Attributes:
        columns: [n], its n-grams, ascending.
        shares: [n], what a string that has the n-gram once gets for it, before it is divided by its length.
    """

    columns: Rows
    shares: Doubles

    @classmethod
    def of(cls, columns: Rows, counts: Rows, idf: Shorts) -> Query:
        """Of n-grams and how often each is there."""
        weights = (1 + np.log(counts)) * idf[columns].astype(np.float64)
        weights /= np.sqrt(weights @ weights) if len(weights) else 1
        return cls(columns, weights * idf[columns])


@dataclass(frozen=True)
class NameWords:
    """Strings, their words, and the n-grams of these. The weight of an n-gram in a string is `idf · factor / length`.

    Attributes:
        string_words: The words of each string, one that it has twice twice.
        word_strings: The strings that have each word, by falling reach.
        word_ngrams: The n-grams of each word.
        word_times: How often each of these is in the word.
        ngram_words: The words that have each n-gram.
        ngram_times: How often each of these has it.
        lengths: [num_strings] float32, of the vectors before they were divided by it, more than 0.
        reaches: [num_strings] float32, the lengths of a string's words together, divided by its own.
        norms: [num_words] float32, their lengths, more than 0.
    """

    string_words: Jagged
    word_strings: Jagged
    word_ngrams: Jagged
    word_times: NDArray[Any]
    ngram_words: Jagged
    ngram_times: NDArray[Any]
    lengths: Shorts
    reaches: Shorts
    norms: Shorts

    @classmethod
    def of(cls, string_words: Jagged, counts: sp.csr_matrix, idf: Shorts) -> NameWords:
        """Of strings by their words, and the counts [num_words, num_ngrams] of each word's n-grams."""
        norms = _lengths(counts, idf)
        blocks = [_lengths(block, idf) for block in ngram_counts(string_words, counts)]
        lengths = concatenated(blocks, norms)
        owners = np.repeat(np.arange(len(lengths), dtype=np.int32), string_words.sizes)
        words = string_words.values
        sums = np.bincount(owners, norms[words], len(lengths))
        reaches = (sums / lengths).astype(np.float32)
        order = np.lexsort((-reaches[owners], words))
        sizes = np.bincount(words, minlength=len(norms))
        times = counts.data.astype(np.min_scalar_type(counts.data.max(initial=0)))
        return cls(
            string_words,
            Jagged.of_sizes(sizes, owners[order]),
            Jagged(counts.indptr.astype(np.int64), counts.indices.astype(np.int32)),
            times,
            *_by_ngram(counts.indices, counts.indptr, times, counts.shape[1]),
            lengths,
            reaches,
            norms,
        )

    def joined(self, others: NameWords) -> NameWords:
        """With further strings, which are numbered on, as their words are; of the same n-grams, or of some more."""
        ngrams = self.word_ngrams.joined(others.word_ngrams, 0)
        times = np.concatenate([self.word_times, others.word_times])
        return NameWords(
            self.string_words.joined(others.string_words, len(self.norms)),
            self.word_strings.joined(others.word_strings, len(self.lengths)),
            ngrams,
            times,
            *_by_ngram(ngrams.values, ngrams.starts, times, max(len(self.ngram_words), len(others.ngram_words))),
            np.concatenate([self.lengths, others.lengths]),
            np.concatenate([self.reaches, others.reaches]),
            np.concatenate([self.norms, others.norms]),
        )

    def hopeful(self, query: Query, count: int, worst: Worst) -> Rows:
        """The strings, ascending, that may belong to the best; what is left out does not.

        A string whose words all have a cosine with the query of at most c scores at most c times its reach: of the
        strings of each word those are looked at whose reach is long enough.

        Args:
            query: What is searched for.
            count: Strings whose scores `worst` is told at most.
            worst: Of some strings, ascending, and their scores: what the worst of the best scores at least; 0 while
                that is not known.
        """
        shares = self._shares(query)
        cosines = shares / self.norms
        least = self._least(query, shares, cosines, count, worst) - ROUNDING
        lists = np.flatnonzero((cosines * self._farthest >= least) & (cosines > 0))
        sizes = self._reaching(lists, least / cosines[lists])
        strings = distinct(self.word_strings.values[spans(self.word_strings.starts[lists], sizes)])
        return strings[self._most(shares, strings) >= least]

    def scores(self, query: Query, strings: Rows) -> Doubles:
        """The cosines [m] of a query with some strings [m]; the same whichever others are asked for."""
        step = max(1, CELLS // max(1, len(query.columns)))
        parts = [self._scores(query, strings[start : start + step]) for start in range(0, len(strings), step)]
        return concatenated(parts, query.shares)

    def _scores(self, query: Query, strings: Rows) -> Doubles:
        words, sizes = self.string_words.of(strings)
        places, inner = self.word_ngrams.places(words)
        owners = np.repeat(np.repeat(np.arange(len(strings)), sizes), inner)
        found, size = self.word_ngrams.values[places], len(query.columns)
        columns = np.searchsorted(query.columns, found)
        is_asked = np.flatnonzero(query.columns[columns.clip(max=size - 1)] == found) if size else places[:0]
        cells = owners[is_asked] * size + columns[is_asked]
        factors = np.bincount(cells, self.word_times[places[is_asked]], len(strings) * size)
        more = np.flatnonzero(factors > 1)
        factors[more] = 1 + np.log(factors[more])
        products = np.einsum("mn,n->m", factors.reshape(len(strings), size), query.shares)
        return np.asarray(products / self.lengths[strings], np.float64)

    def _shares(self, query: Query) -> Doubles:
        """What each word [num_words] shares with a query, at least; a string shares the sum of its words at most."""
        asked = query.columns[query.columns < len(self.ngram_words)]  # no word has one that came later
        parts = self.ngram_words.slices(asked)
        words = concatenated([self.ngram_words.values[part] for part in parts], self.ngram_words.values)
        times = concatenated([self.ngram_times[part] for part in parts], self.ngram_times)
        shares = np.repeat(query.shares[: len(asked)], [part.stop - part.start for part in parts])
        more = np.flatnonzero(times > 1)
        shares[more] *= 1 + np.log(times[more].astype(np.float64))
        found: Doubles = np.bincount(words, shares, len(self.norms)).astype(np.float64, copy=False)
        return found

    def _least(self, query: Query, shares: Doubles, cosines: Doubles, count: int, worst: Worst) -> float:
        """What the worst of the best scores at least, by the strings of the words nearest to a query."""
        near = cosines.max(initial=0)
        while near > 0:
            near = near / 2 if near > LEAST_SHARE else 0
            strings = distinct(self.word_strings.of(np.flatnonzero(cosines > near))[0])
            if len(strings) > count:
                best = np.argpartition(self._most(shares, strings), len(strings) - count)[len(strings) - count :]
                strings = np.sort(strings[best])
            if (least := worst(strings, self.scores(query, strings))) > 0:
                return least
        return 0.0

    def _reaching(self, words: Rows, least: Doubles) -> Rows:
        """How many strings of words [m] reach so far [m]: those at the beginning of each list."""
        starts, strings = self.word_strings.starts[words], self.word_strings.values
        low, high = starts, self.word_strings.starts[words + 1]
        while (is_open := low < high).any():
            middle = (low + high) // 2
            is_far = self.reaches[strings[np.where(is_open, middle, starts)]] >= least
            low, high = np.where(is_open & is_far, middle + 1, low), np.where(is_open & ~is_far, middle, high)
        return np.asarray(low - starts, np.int64)

    def _most(self, shares: Doubles, strings: NDArray[Any]) -> Doubles:
        """What strings [m], of a word or more, score at most."""
        words, sizes = self.string_words.of(strings)
        sums = np.add.reduceat(shares[words], np.cumsum(sizes) - sizes) if len(words) else shares[:0]
        return np.asarray(sums / self.lengths[strings], np.float64)

    @cached_property
    def _farthest(self) -> Shorts:
        """[num_words], the reach of the string that reaches farthest of each."""
        strings = self.word_strings
        found = np.zeros(len(self.norms), np.float32)
        has_some = np.flatnonzero(strings.sizes)
        found[has_some] = self.reaches[strings.values[strings.starts[has_some]]]
        return found


def distinct(numbers: NDArray[Any]) -> Rows:
    """Each number once, ascending; `np.unique` takes ten times as long for some ten thousand."""
    ordered = np.sort(numbers)
    is_first = np.ones(len(ordered), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_first].astype(np.int64, copy=False)


def ngram_counts(string_words: Jagged, counts: sp.csr_matrix) -> Iterator[sp.csr_matrix]:
    """The counts of the n-grams of strings, some strings at a time; n-grams ascend."""
    for start in range(0, len(string_words), BLOCK):
        starts = string_words.starts[start : start + BLOCK + 1]
        words = string_words.values[starts[0] : starts[-1]]
        shape = len(starts) - 1, counts.shape[0]
        block = sp.csr_matrix((np.ones(len(words), np.int32), words, starts - starts[0]), shape) @ counts
        block.sort_indices()  # equal strings have equal lengths, whatever the order of their words
        yield block


def _lengths(counts: sp.csr_matrix, idf: Shorts) -> Shorts:
    """The lengths [n] of vectors by the counts of their n-grams; 1 where there is none."""
    factors = 1 + np.log(counts.data, dtype=np.float32)
    squares = np.append((idf[counts.indices] * factors) ** 2, np.float32(0))
    sums = np.add.reduceat(squares, counts.indptr[:-1], dtype=np.float64) if len(counts.indptr) > 1 else squares[:0]
    return np.where(np.diff(counts.indptr) > 0, np.sqrt(sums), 1).astype(np.float32)


def _by_ngram(
    ngrams: NDArray[Any], starts: NDArray[Any], times: NDArray[Any], num_ngrams: int
) -> tuple[Jagged, NDArray[Any]]:
    """The words that have each n-gram, and how often."""
    by_ngram = sp.csr_matrix((times, ngrams, starts), (len(starts) - 1, num_ngrams)).tocsc()
    return Jagged(by_ngram.indptr.astype(np.int64), by_ngram.indices.astype(np.int32)), by_ngram.data
