"""Names and aliases of a KB whose entities come and go, searched by what their n-grams share with a mention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from dim.core.sealed import open_sealed, sealed_folder
from dim.errors import DataError
from dim.search.lexical import name_counter, ngrams_of
from dim.search.name_files import CONTENT, FORMAT_VERSION, NGRAM, OLDER, NameArrays, read_names, write_names
from dim.search.postings import Postings, Query

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

TOLD = 4  #: Strings a wanted entity that say early what the worst of the best scores: one may have several of them.
FEW = 100_000  #: Strings: of fewer, all that share something are scored faster than it is found who need not be.
MOST_ADDED = 8  #: Times as many postings has the large part as the small one, which entities are added to.


class Part:
    """Entities one after another, by their strings.

    Args:
        postings: Of all their strings, entity by entity.
        counts: [num_entities], how many strings each has, 1 or more.
    """

    def __init__(self, postings: Postings, counts: Rows) -> None:
        self.postings, self.counts = postings, counts
        self._are_few = len(postings.lengths) < FEW
        self._last: tuple[Query, Floats] | None = None

    @cached_property
    def ends(self) -> Rows:
        """[num_entities], the string after the last one of each."""
        return np.cumsum(self.counts)

    def best(self, query: Query, k: int, live: NDArray[np.bool_]) -> tuple[Rows, Floats]:
        """The k entities that are `live` with the best strings, best first, and their scores; fewer where fewer share.

        Of equal ones the first are taken.
        """
        live = live[: len(self.counts)]
        if self._are_few:
            best = np.where(live, self._all_scores(query), 0)
            entities = np.flatnonzero(best >= max(_worst(best, k), np.finfo(np.float32).tiny))
            best = best[entities]
        else:
            strings = self.postings.hopeful(
                query, TOLD * k, lambda strings, scores: _worst(self._of_entities(strings, scores, live)[1], k)
            )
            scores = self.postings.scores(query, strings).astype(np.float32)
            entities, best = self._of_entities(strings, scores, live)
        order = np.argsort(-best, kind="stable")[:k]
        return entities[order], best[order]

    def scores(self, query: Query, entities: Rows) -> Floats:
        """The score [m] of the best string of each of some entities [m], ascending."""
        if self._are_few:
            return self._all_scores(query)[entities]
        counts = self.counts[entities]
        starts = np.cumsum(counts) - counts
        strings = np.arange(counts.sum()) + np.repeat(self.ends[entities] - counts - starts, counts)
        scores = self.postings.scores(query, strings).astype(np.float32)
        best: Floats = np.maximum.reduceat(scores, starts) if len(starts) else scores
        return best

    def _all_scores(self, query: Query) -> Floats:
        """The score of the best string of each entity; those of the last query are kept."""
        if self._last is None or self._last[0] is not query:
            scores = self.postings.all_scores(query).astype(np.float32)
            starts = self.ends - self.counts
            self._last = query, np.maximum.reduceat(scores, starts) if len(starts) else scores
        return self._last[1]

    def _of_entities(
        self, strings: NDArray[np.int32], scores: NDArray[Any], live: NDArray[np.bool_]
    ) -> tuple[Rows, NDArray[Any]]:
        """Of the entities that are `live` among those of some strings, ascending: their places and best scores."""
        owners = np.searchsorted(self.ends, strings, side="right")
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        owners, best = owners[first], np.maximum.reduceat(scores, first) if len(first) else scores
        return owners[live[owners]], best[live[owners]]

    def joined(self, other: Part) -> Part:
        """With further entities."""
        return Part(self.postings.joined(other.postings), np.concatenate([self.counts, other.counts]))


def _worst(scores: NDArray[Any], k: int) -> float:
    """The k-th highest of some scores; 0 where there are fewer."""
    return float(np.partition(scores, len(scores) - k)[len(scores) - k]) if 0 < k <= len(scores) else 0.0


class EntityNames:
    """Names and aliases of a KB, compared with a mention by the cosine of `NameIndex`; an entity counts by its best.

    The weights are fitted once, on all strings of the first KB; n-grams that come later have none. Rows are stable:
    an added entity gets the next row, and the row of a removed one is never used again.

    A large part is as it was built, or stays on the disk that it was opened from; a small one beside it takes what is
    added, until it is so large that both are joined.

    Args:
        names: One name an entity.
        aliases: Other names of each entity; empty ones are left out.

    Raises:
        DataError: Names and aliases differ in number, or no name has two letters to compare.
    """

    def __init__(self, names: Sequence[str], aliases: Sequence[Sequence[str]] | None = None) -> None:
        strings, counts = _strings(names, aliases)
        counter = name_counter()
        try:
            found = counter.fit_transform(strings)
        except ValueError as error:
            raise DataError("names to compare", str(error), "Give the entities names.") from error
        with_ngram = np.bincount(found.indices, minlength=found.shape[1]).astype(np.float32)
        self._ngrams = np.array(sorted(counter.vocabulary_), NGRAM)
        self._idf = np.log(np.float32(1 + len(strings)) / (1 + with_ngram)) + 1
        self._set(Part(Postings.of(found, self._idf), counts), np.ones(len(counts), dtype=bool))

    def _set(self, part: Part, live: NDArray[np.bool_]) -> None:
        """Takes all entities, and which of them are there."""
        self._large, self._live = part, live
        self._last: tuple[str, Query] | None = None
        none = np.empty(0, np.int32)
        self._small = Part(
            Postings.of(sp.csr_matrix((none, none, [0]), (0, len(self._idf))), self._idf), part.counts[:0]
        )

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
        answers: dict[str, Rows] = {}
        for mention in mentions:
            if mention not in answers:
                answers[mention] = self._best(mention, k) if k else np.empty(0, np.int64)
        return np.array([answers[mention] for mention in mentions], dtype=np.int64).reshape(len(mentions), k)

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
        strings, counts = _strings(names, aliases)
        told = [self._counts(string) for string in strings]
        ends = np.cumsum([0, *(len(columns) for columns, _ in told)])
        columns = np.concatenate([ends[:0], *(columns for columns, _ in told)])
        times = np.concatenate([ends[:0], *(times for _, times in told)])
        new = Postings.of(sp.csr_matrix((times, columns, ends), shape=(len(strings), len(self._idf))), self._idf)
        first, small = self.num_rows, self._small.joined(Part(new, counts))
        live = np.concatenate([self._live, np.ones(len(counts), dtype=bool)])
        if MOST_ADDED * len(small.postings.strings) > len(self._large.postings.strings):
            self._set(self._large.joined(small), live)
        else:
            self._small, self._live = small, live
        return np.arange(first, first + len(counts))

    def remove(self, rows: ArrayLike) -> None:
        """Leaves entities [m] out of every answer from now on.

        Raises:
            DataError: A row was never given, or its entity is removed already; nothing is removed then.
        """
        self._live[self._checked_rows(rows)] = False

    def save(self, folder: Path) -> None:
        """Writes the index; a process that is killed meanwhile leaves what was there before."""
        whole = self._large.joined(self._small) if len(self._small.counts) else self._large
        with sealed_folder(folder, CONTENT, FORMAT_VERSION, {"count": len(self)}) as place:
            write_names(place, NameArrays(self._ngrams, self._idf, whole.postings, whole.counts, self._live))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The index as it was saved; its postings stay on the disk.

        Raises:
            DataError: No index, a damaged one, or one of another format.
        """
        version = open_sealed(folder, CONTENT, FORMAT_VERSION, older=OLDER)["format_version"]
        found = read_names(folder, version)
        index = cls.__new__(cls)
        index._ngrams, index._idf = found.ngrams, found.idf
        index._set(Part(found.postings, found.counts), found.live)
        return index

    def _counts(self, string: str) -> tuple[Rows, Rows]:
        """The n-grams of a string that have a weight, ascending, and how often each stands in it."""
        counts = Counter(ngrams_of(string))
        told = np.array(list(counts), NGRAM)
        columns = np.searchsorted(self._ngrams, told).clip(max=len(self._ngrams) - 1)
        known = np.flatnonzero(self._ngrams[columns] == told)
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
            shown = ", ".join(map(str, unknown[:5].tolist())) + (" …" if len(unknown) > 5 else "")
            raise DataError("rows of entities that are there", f"{len(unknown)} others ({shown})", "Look at its rows.")
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
