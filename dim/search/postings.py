"""Strings by their n-grams: who shares the most with a query, found without looking at all who share something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Strings = NDArray[np.int32]
Floats = NDArray[np.float64]
Shorts = NDArray[np.float32]

LOOKUP = 32  #: Postings of a list that are marked in the time that one string is looked up in it.
ROUNDING = 1e-5  #: More than a sum of single precision is off.
BEGINNING = 0.6  #: Of a query is left when it is looked what the best have so far.

Worst = Callable[[NDArray[np.int32], NDArray[np.float64]], float]


@dataclass(frozen=True)
class Query:
    """A string that is compared with others.

    Attributes:
        columns: [n], its n-grams, ascending.
        weights: [n], of a vector of length 1.
        shares: [n], what a string that has the n-gram once gets for it, before it is divided by its length.
    """

    columns: Rows
    weights: Floats
    shares: Floats

    @classmethod
    def of(cls, columns: Rows, counts: Rows, idf: Shorts) -> Query:
        """Of n-grams and how often each is there."""
        weights = (1 + np.log(counts)) * idf[columns].astype(np.float64)
        weights /= np.sqrt(weights @ weights) if len(weights) else 1
        return cls(columns, weights, weights * idf[columns])


class Postings:
    """For each n-gram the strings that have it. Its weight in a string is `idf · factor / length`.

    Args:
        starts: [num_ngrams + 1], where the list of each n-gram begins in `strings`.
        strings: [num_postings], ascending within a list.
        repeated: The places, ascending, of postings whose n-gram stands more than once in its string.
        factors: [len(repeated)], 1 + ln(times) of these; of all others it is 1.
        lengths: [num_strings], of the vectors before they were divided by it, more than 0.
    """

    def __init__(self, starts: Rows, strings: Strings, repeated: Rows, factors: Shorts, lengths: Shorts) -> None:
        self.starts, self.strings, self.lengths = starts, strings, lengths
        self.repeated, self.factors = repeated, factors

    @classmethod
    def of(cls, counts: sp.csr_matrix, idf: Shorts) -> Postings:
        """Of the counts [num_strings, num_ngrams] of each string's n-grams, 1 or more."""
        factors = 1 + np.log(counts.data, dtype=np.float32)
        squares = np.append((idf[counts.indices] * factors) ** 2, np.float32(0))
        sums = np.add.reduceat(squares, counts.indptr[:-1], dtype=np.float64) if len(counts.indptr) > 1 else squares[:0]
        lengths = np.where(np.diff(counts.indptr) > 0, np.sqrt(sums), 1).astype(np.float32)
        by_ngram = sp.csr_matrix((factors, counts.indices, counts.indptr), counts.shape).tocsc()  # rows ascend
        repeated = np.flatnonzero(by_ngram.data != 1)
        starts, strings = by_ngram.indptr.astype(np.int64), by_ngram.indices.astype(np.int32, copy=False)
        return cls(starts, strings, repeated, by_ngram.data[repeated], lengths)

    def joined(self, others: Postings) -> Postings:
        """With those of further strings, which are numbered on; of the same n-grams."""
        sizes, more = np.diff(self.starts), np.diff(others.starts)
        # Each list of ours begins later by what stands before it of the others', and theirs by ours.
        own = np.arange(len(self.strings)) + np.repeat(others.starts[:-1], sizes)
        new = np.arange(len(others.strings)) + np.repeat(self.starts[1:], more)
        strings = np.empty(len(own) + len(new), np.int32)
        strings[own], strings[new] = self.strings, others.strings + np.int32(len(self.lengths))
        repeated = np.concatenate([own[self.repeated], new[others.repeated]])
        order = np.argsort(repeated)
        factors = np.concatenate([self.factors, others.factors])[order]
        lengths = np.concatenate([self.lengths, others.lengths])
        return Postings(self.starts + others.starts, strings, repeated[order], factors, lengths)

    def hopeful(self, query: Query, count: int, worst: Worst) -> Strings:
        """The strings, ascending, that may belong to the best; what is left out does not.

        Lists are read from the shortest to the longest. What the others add to a score is at most the length of what is
        left of the query (Cauchy and Schwarz), and at most the sum of their shares, divided by the string's length.
        Once the former is below what the worst of the best has, strings that were not met are out; of those that were,
        the ones that may still be among the best by both are looked up in the other lists.

        Args:
            query: What is searched for.
            count: Strings whose scores `worst` is told, or more, where so many were met.
            worst: Of some strings, ascending, and their scores: what the worst of the best scores at least.
        """
        order = np.argsort(self.starts[query.columns + 1] - self.starts[query.columns], kind="stable").tolist()
        # Before each list, and after the last:
        rest = np.sqrt(np.append(np.cumsum(query.weights[order[::-1]] ** 2)[::-1], 0)).tolist()
        shares = np.append(np.cumsum(query.shares[order[::-1]])[::-1], 0).tolist()
        met: list[Strings] = []
        try:
            met += self._repeated(query)
            place = self._read(query, order, rest, 0, BEGINNING, met)
            strings = np.concatenate([np.empty(0, np.int32), *met])
            scores = self._sums[strings] / self.lengths[strings]
            first = len(scores) - count * len(met)  # a string stands in each list once
            told = np.unique(strings[scores >= np.partition(scores, first)[first]] if first > 0 else strings)
            least = worst(told, self.scores(query, told))
            place = self._read(query, order, rest, place, least, met)
            strings = np.concatenate([np.empty(0, np.int32), *met])
            lengths = self.lengths[strings]
            most = self._sums[strings] + np.minimum(rest[place] * lengths, shares[place])
            found = np.unique(strings[most >= (least - ROUNDING) * lengths])
            sums = self._sums[found].astype(np.float64)
        finally:
            for strings in met:
                self._sums[strings] = 0
        for which in order[place:]:
            place += 1
            sums += query.shares[which] * self._has(self._list(int(query.columns[which]))[0], found)
            lengths = self.lengths[found]
            kept = sums + np.minimum(rest[place] * lengths, shares[place]) >= (least - ROUNDING) * lengths
            found, sums = found[kept], sums[kept]
        return found

    def all_scores(self, query: Query) -> Floats:
        """The cosines [num_strings] of a query with all strings, as of `scores`."""
        columns, repeated = query.columns, self._first_repeated
        begins, sizes = self.starts[columns], self.starts[columns + 1] - self.starts[columns]
        lists = [
            self.strings[begin : begin + size] for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True)
        ]
        met, shares = np.concatenate([np.empty(0, np.int32), *lists]), np.repeat(query.shares, sizes)
        places = np.cumsum(sizes) - sizes - begins
        for which in np.flatnonzero(repeated[columns + 1] > repeated[columns]).tolist():
            own = slice(repeated[columns[which]], repeated[columns[which] + 1])
            shares[self.repeated[own] + places[which]] *= self.factors[own]
        return np.bincount(met, shares, len(self.lengths)) / self.lengths

    def scores(self, query: Query, strings: Strings) -> Floats:
        """The cosines [m] of a query with some strings [m], ascending; the same whichever others are asked for."""
        total = np.zeros(len(strings))
        for column, share in zip(query.columns.tolist(), query.shares.tolist(), strict=True):
            total += share * self._factors(column, strings)
        return total / self.lengths[strings]

    def _factors(self, column: int, strings: Strings) -> Floats:
        """The factors [m] of an n-gram in some strings [m], ascending; 0 in those that lack it."""
        own, repeated, factors = self._list(column)
        found = self._has(own, strings).astype(np.float64)
        if len(repeated) and len(strings):
            places = np.searchsorted(strings, own[repeated])
            places[places == len(strings)] = 0
            is_asked = strings[places] == own[repeated]
            found[places[is_asked]] = factors[is_asked]
        return found

    def _has(self, own: Strings, strings: Strings) -> NDArray[np.bool_]:
        """Which of some strings [m], ascending, stand in a list."""
        if len(own) > LOOKUP * len(strings):
            places = np.searchsorted(own, strings)
            places[places == len(own)] = 0
            found: NDArray[np.bool_] = own[places] == strings
            return found
        self._marks[own] = True
        found = self._marks[strings]
        self._marks[own] = False
        return found

    def _list(self, column: int) -> tuple[Strings, Rows, Shorts]:
        """The strings that have an n-gram; the places among them that have it more than once, with their factors."""
        start, stop = self.starts[column], self.starts[column + 1]
        first, last = self._first_repeated[column], self._first_repeated[column + 1]
        return self.strings[start:stop], self.repeated[first:last] - start, self.factors[first:last]

    def _repeated(self, query: Query) -> Iterator[Strings]:
        """Adds to the sums of strings what they have of n-grams that stand in them more than once, beyond the first."""
        for column, share in zip(query.columns.tolist(), query.shares.tolist(), strict=True):
            strings, repeated, factors = self._list(column)
            if len(repeated):
                self._sums[strings[repeated]] += np.float32(share) * (factors - 1)
                yield strings[repeated]

    def _read(
        self, query: Query, order: list[int], rest: list[float], place: int, enough: float, met: list[Strings]
    ) -> int:
        """Adds the shares of the lists from a place on to their strings until less than enough is left; the next place.

        The lists are put to those that were met.
        """
        while place < len(order) and rest[place] >= enough:
            met.append(self._list(int(query.columns[order[place]]))[0])
            self._sums[met[-1]] += np.float32(query.shares[order[place]])
            place += 1
        return place

    @cached_property
    def _sums(self) -> Shorts:
        """Zeros [num_strings], between two searches."""
        return np.zeros(len(self.lengths), np.float32)

    @cached_property
    def _marks(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.lengths), np.bool_)

    @cached_property
    def _first_repeated(self) -> Rows:
        """[num_ngrams + 1], where the list of each n-gram begins in `repeated`."""
        return np.searchsorted(self.repeated, self.starts)
