"""Names and aliases of a KB whose entities come and go, searched by what their n-grams share with a mention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dim.core.arrays import Floats, Rows
from dim.core.excerpts import few
from dim.core.sealed import open_sealed, sealed_folder
from dim.errors import DataError
from dim.search.jagged import spans
from dim.search.lexical import ngrams_of
from dim.search.name_counts import NGRAM, Ngrams, count_ngrams, numbered, of_known
from dim.search.name_files import CONTENT, FORMAT_VERSION, NameArrays, read_names, write_names
from dim.search.name_words import NameWords, Query, ngram_counts

TOLD = 4  #: Strings a wanted entity that say early what the worst of the best scores: one may have several of them.
KEPT = 1024  #: Mentions whose answers are kept.
MOST_ADDED = 8  #: Times as many words has the large part as the small one, which entities are added to.


@dataclass(frozen=True)
class Part:
    """Entities one after another, by their strings.

    Attributes:
        strings: All of them, entity by entity.
        counts: [num_entities], how many each has, 1 or more.
    """

    strings: NameWords
    counts: Rows

    @cached_property
    def ends(self) -> Rows:
        """[num_entities], the string after the last one of each."""
        return np.cumsum(self.counts)

    @property
    def size(self) -> int:
        """Words of all strings."""
        return len(self.strings.string_words.values)

    def best(self, query: Query, k: int, live: NDArray[np.bool_]) -> tuple[Rows, Floats]:
        """The k entities that are `live` with the best strings, best first, and their scores; fewer where fewer share.

        Of equal ones the first are taken.
        """
        live = live[: len(self.counts)]
        strings = self.strings.hopeful(
            query, TOLD * k, lambda strings, scores: _worst(self._of_entities(strings, scores, live)[1], k)
        )
        scores = self.strings.scores(query, strings).astype(np.float32)
        entities, best = self._of_entities(strings, scores, live)
        order = np.argsort(-best, kind="stable")[:k]
        return entities[order], best[order]

    def scores(self, query: Query, entities: Rows) -> Floats:
        """The score [m] of the best string of each of some entities [m]."""
        counts = self.counts[entities]
        strings = spans(self.ends[entities] - counts, counts)
        scores = self.strings.scores(query, strings).astype(np.float32)
        best: Floats = np.maximum.reduceat(scores, np.cumsum(counts) - counts) if len(counts) else scores
        return best

    def _of_entities(self, strings: Rows, scores: NDArray[Any], live: NDArray[np.bool_]) -> tuple[Rows, NDArray[Any]]:
        """Of the entities that are `live` among those of some strings, ascending: their places and best scores."""
        owners = np.searchsorted(self.ends, strings, side="right")
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        owners, best = owners[first], np.maximum.reduceat(scores, first) if len(first) else scores
        return owners[live[owners]], best[live[owners]]

    def joined(self, other: Part) -> Part:
        """With further entities."""
        return Part(self.strings.joined(other.strings), np.concatenate([self.counts, other.counts]))


def _worst(scores: NDArray[Any], k: int) -> float:
    """The k-th highest of some scores; 0 where there are fewer."""
    return float(np.partition(scores, len(scores) - k)[len(scores) - k]) if 0 < k <= len(scores) else 0.0


class EntityNames:
    """Names and aliases of a KB, compared with a mention by the cosine of `NameIndex`; an entity counts by its best.

    The weights are fitted once, on all strings of the first KB, or on its names; other n-grams have none, but for those
    that come with added entities, which weigh as much as the rarest. Rows are stable: an added entity gets the next
    row, and the row of a removed one is never used again.

    A large part is as it was built, or stays on the disk that it was opened from; a small one beside it takes what is
    added, until it is so large that both are joined.

    Args:
        names: One name an entity.
        aliases: Other names of each entity; empty ones are left out.
        weighed_by_names: Whether weights are fitted on the names alone, as those of `NameIndex` are.

    Raises:
        DataError: Names and aliases differ in number, or no name has two letters to compare.
    """

    def __init__(
        self,
        names: Sequence[str],
        aliases: Sequence[Sequence[str]] | None = None,
        weighed_by_names: bool = False,
    ) -> None:
        strings, counts = _strings(names, aliases)
        fitted = names if weighed_by_names else strings
        by_words, words = numbered(fitted)
        ngrams, found = count_ngrams(words)
        if not len(ngrams):
            raise DataError("names to compare", "no word in any of them", "Give the entities names.")
        self._ngrams, width = Ngrams.of(ngrams), len(ngrams)
        with_ngram = sum(np.bincount(block.indices, minlength=width) for block in ngram_counts(by_words, found))
        self._idf = np.log(np.float32(1 + len(fitted)) / (1 + np.float32(with_ngram))) + 1
        if fitted is not strings:
            by_words, words = numbered(strings)
            found = of_known(*count_ngrams(words), self._ngrams)
        self._set(Part(NameWords.of(by_words, found, self._idf), counts), np.ones(len(counts), dtype=bool))

    def _set(self, part: Part, live: NDArray[np.bool_]) -> None:
        """Takes all entities, and which of them are there."""
        by_words, words = numbered([])
        none = NameWords.of(by_words, of_known(*count_ngrams(words), self._ngrams), self._idf)
        self._large, self._small, self._live = part, Part(none, part.counts[:0]), live
        self._last: tuple[str, Query] | None = None
        self._kept: dict[str, Rows] = {}

    def __len__(self) -> int:
        return int(self._live.sum())

    @property
    def num_rows(self) -> int:
        """Rows that were given, those of removed entities included."""
        return len(self._live)

    @property
    def rows(self) -> Rows:
        """The rows [len] of the entities that are there, ascending."""
        return np.flatnonzero(self._live)

    def search(self, mentions: Sequence[str], k: int) -> Rows:
        """The rows [n, min(k, len)] of the k entities with the most similar string, best first; equal ones by row.

        Entities that share nothing with the mention fill up what is left, in the order of their rows.
        """
        k = min(k, len(self))
        found = [self._found(mention, k)[:k] for mention in mentions] if k else []
        return np.array(found, dtype=np.int64).reshape(len(mentions), k)

    def _found(self, mention: str, k: int) -> Rows:
        """The k best or more: what was found for the last mentions is kept until entities come or go."""
        found = self._kept.pop(mention, None)
        if found is None or len(found) < k:
            found = self._best(mention, k)
        self._kept[mention] = found
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return found

    def forget_answers(self) -> None:
        """Searches for every mention anew."""
        self._kept.clear()

    def _best(self, mention: str, k: int) -> Rows:
        query = self._query(mention)
        found = [part.best(query, k, self._live[start:]) for start, part in self._parts]
        rows = np.concatenate([start + own for (start, _), (own, _) in zip(self._parts, found, strict=True)])
        scores = np.concatenate([own for _, own in found])
        best = rows[np.lexsort((rows, -scores))[:k]]
        if len(best) == k:
            return best
        others = self.rows[: k + len(best)]
        return np.concatenate([best, others[~np.isin(others, best)][: k - len(best)]])

    def scores_of(self, mentions: Sequence[str], rows: ArrayLike) -> Floats:
        """The best cosine [n, k], float32, of each mention with the strings of each of its own entities [n, k].

        Raises:
            DataError: A row was never given, or its entity is removed.
        """
        wanted = self._checked_rows(rows)
        scores = np.empty(wanted.shape, dtype=np.float32)
        for mention, own, found in zip(mentions, wanted, scores, strict=True):
            query = self._query(mention)
            unique, places = np.unique(own, return_inverse=True)
            cuts = np.searchsorted(unique, [start for start, _ in self._parts[1:]])
            parts = zip(self._parts, np.split(unique, cuts), strict=True)
            found[:] = np.concatenate([part.scores(query, each - start) for (start, part), each in parts])[places]
        return scores

    @property
    def _parts(self) -> list[tuple[int, Part]]:
        """The first row of each part, and it."""
        parts = [(0, self._large), (len(self._large.counts), self._small)]
        return parts if len(self._small.counts) else parts[:1]

    def add(self, names: Sequence[str], aliases: Sequence[Sequence[str]] | None = None) -> Rows:
        """Makes entities findable at once; returns their rows [m]. Many in one call cost less than one at a time."""
        given, counts = _strings(names, aliases)
        by_words, words = numbered(given)
        told, found = count_ngrams(words)
        new = told[self._ngrams.numbers(told) < 0]
        ngrams = self._ngrams.joined(new) if len(new) else self._ngrams
        idf = np.append(self._idf, np.full(len(new), self._idf.max()))
        part = Part(NameWords.of(by_words, of_known(told, found, ngrams), idf), counts)
        self.forget_answers()
        first, small = self.num_rows, self._small.joined(part)
        live = np.concatenate([self._live, np.ones(len(counts), dtype=bool)])
        is_large = MOST_ADDED * small.size > self._large.size
        large = self._large.joined(small) if is_large else self._large
        self._ngrams, self._idf, self._last = ngrams, idf, None
        if is_large:
            self._set(large, live)
        else:
            self._small, self._live = small, live
        return np.arange(first, self.num_rows)

    def remove(self, rows: ArrayLike) -> None:
        """Leaves entities [m] out of every answer from now on.

        Raises:
            DataError: A row was never given, or its entity is removed already; nothing is removed then.
        """
        self.forget_answers()
        self._live[self._checked_rows(rows)] = False

    def save(self, folder: Path) -> None:
        """Writes the index; a process that is killed meanwhile leaves what was there before."""
        whole = self._large.joined(self._small) if len(self._small.counts) else self._large
        with sealed_folder(folder, CONTENT, FORMAT_VERSION, {"count": len(self)}) as place:
            write_names(place, NameArrays(self._ngrams, self._idf, whole.strings, whole.counts, self._live))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The index as it was saved; its lists stay on the disk.

        Raises:
            DataError: No index, a damaged one, or one of another format.
        """
        open_sealed(folder, CONTENT, FORMAT_VERSION)
        found, index = read_names(folder), cls.__new__(cls)
        index._ngrams, index._idf = found.ngrams, found.idf
        index._set(Part(found.strings, found.counts), found.live)
        return index

    def _counts(self, string: str) -> tuple[Rows, Rows]:
        """The n-grams of a string that have a weight, ascending, and how often each stands in it."""
        counts = Counter(ngrams_of(string))
        told = np.array(list(counts), NGRAM)
        columns = self._ngrams.numbers(told)
        known = np.flatnonzero(columns >= 0)
        order = known[np.argsort(columns[known])]
        return columns[order], np.array(list(counts.values()), np.int64)[order]

    def _query(self, mention: str) -> Query:
        # A linker searches for a mention, and then asks what its candidates' names score.
        if self._last is None or self._last[0] != mention:
            self._last = mention, Query.of(*self._counts(mention), self._idf)
        return self._last[1]

    def _checked_rows(self, rows: ArrayLike) -> Rows:
        wanted = np.asarray(rows, dtype=np.int64)
        known = (wanted >= 0) & (wanted < len(self._live))
        known[known] = self._live[wanted[known]]
        if not known.all():
            unknown = np.unique(wanted[~known])
            found = f"{len(unknown)} others ({few(unknown.tolist(), 5)})"
            raise DataError("rows of entities that are there", found, "Look at its rows.")
        return wanted


def _strings(names: Sequence[str], aliases: Sequence[Sequence[str]] | None) -> tuple[list[str], Rows]:
    """All strings, entity by entity, and how many each has."""
    if aliases is None:
        return list(names), np.ones(len(names), dtype=np.int64)
    if len(aliases) != len(names):
        raise DataError(
            f"{len(names):,} lists of aliases", f"{len(aliases):,}", "Give each entity one; it may be empty."
        )
    of_entity = [
        list(dict.fromkeys([name, *(alias for alias in others if alias.strip())]))
        for name, others in zip(names, aliases, strict=True)
    ]
    counts = np.array([len(strings) for strings in of_entity], dtype=np.int64)
    return [string for strings in of_entity for string in strings], counts
