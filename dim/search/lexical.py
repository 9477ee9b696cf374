"""Search by name: character n-gram TF-IDF, the string floor that every linker has to beat."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dim.core.folder_files import read_array, read_json
from dim.core.sealed import REMEDY, open_sealed, sealed_folder
from dim.core.text_form import one_form
from dim.errors import DataError
from dim.search.scores import SLICE, Scores
from dim.search.sparse import SparseKB, SparseProducts

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

SEARCHED = 64  # mentions that are searched at once: sorting takes four times the memory of their scores
FEW = 30_000  #: Strings: of fewer, one sum over all n-grams is faster than one an n-gram.
GROUP = 64  #: Scores of which the highest stands for all.
FORMAT_VERSION = 1
SIZES = (2, 3, 4)  #: Characters of an n-gram, as `name_vectorizer` has them.
CONTENT = "name index"
MOST_ALIASES, MOST_STRINGS = 100_000, 100  #: Of an entity; and for each entity and posting, in a saved index.

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


def name_vectorizer() -> TfidfVectorizer:
    """An unfitted TF-IDF of character n-grams: 2 to 4 characters within words, sublinear counts, float32."""
    # A saved index does without: scikit-learn takes as long to import as half of torch
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        preprocessor=_lowered,
        analyzer="char_wb",
        ngram_range=(SIZES[0], SIZES[-1]),
        sublinear_tf=True,
        dtype=np.float32,
    )


def _lowered(text: str) -> str:
    return one_form(text).lower()


def ngrams_of(text: str) -> list[str]:
    """The n-grams of a text, as the analyzer of `name_vectorizer` has them.

    Example:
        >>> ngrams_of("Ada")
        [' a', 'ad', 'da', 'a ', ' ad', 'ada', 'da ', ' ada', 'ada ']
    """
    found = []
    for word in _lowered(text).split():
        padded = f" {word} "
        for size in SIZES:
            found += [padded[start : start + size] for start in range(max(1, len(padded) - size + 1))]
            if size >= len(padded):  # the word as a whole, once
                break
    return found


class NameIndex:
    """The names of a KB, compared with a mention by the cosine of character n-grams within words.

    n-grams of 2 to 4 characters (`char_wb`), sublinear counts, weighted by TF-IDF fitted on the names.

    Args:
        names: One name an entity, in KB order.
        aliases: Other names of each entity, which then counts by the best of its strings; None: names alone.
    """

    def __init__(self, names: Sequence[str], aliases: Sequence[Sequence[str]] | None = None) -> None:
        self._vectorizer = name_vectorizer()
        self._names = SparseKB(self._vectorizer.fit_transform(names).T)
        others = [(row, alias) for row, of in enumerate(aliases or ()) for alias in of if alias.strip()]
        self._owners = np.array([row for row, _ in others], dtype=np.int64)
        self._aliases = self._vectorizer.transform([alias for _, alias in others]) if others else None

    def scores(self, mentions: Sequence[str], device: torch.device | str = "cpu") -> Scores:
        """Cosines [n, num_entities] between 0 and 1, float32, in the order of the mentions."""
        of_names = SparseProducts(self._vectorizer.transform(mentions), self._names, device)
        return of_names if self._aliases is None else BestStrings(of_names, self._aliases, self._owners)

    def search(self, mentions: Sequence[str], k: int) -> NDArray[np.int64]:
        """The KB rows [n, k] of the k most similar names, best first; equal names in KB order."""
        k = min(k, self._names.num_entities)
        unique, place = np.unique(np.asarray(mentions, dtype=object), return_inverse=True)
        starts = range(0, len(unique), SEARCHED)
        found = [_best_of(self.scores(unique[start : start + SEARCHED].tolist()), k) for start in starts]
        return np.concatenate([*found, np.empty((0, k), dtype=np.int64)])[place]


class BestStrings(Scores):
    """Of each entity the best score of its strings.

    Args:
        of_names: Of one string an entity.
        others: [num_others, num_columns], float32, the vectors of further strings.
        owners: [num_others], the entity of each, ascending.
    """

    def __init__(self, of_names: SparseProducts, others: sp.csr_matrix, owners: Rows) -> None:
        super().__init__(of_names.num_mentions, of_names.num_entities)
        self.of_names, self.others, self.owners = of_names, others, owners

    def of(self, entities: slice) -> Tensor:
        """The best, string by string."""
        return self._with_others(self.of_names.of(entities), self.of_names.queries, entities)

    def of_some(self, entities: slice, mentions: Tensor) -> Tensor:
        """Of these mentions alone."""
        queries = self.of_names.queries[mentions.cpu().numpy()]
        return self._with_others(self.of_names.of_some(entities, mentions), queries, entities)

    def _with_others(self, best: Tensor, queries: sp.csr_matrix, entities: slice) -> Tensor:
        first, last = np.searchsorted(self.owners, [entities.start, entities.stop]).tolist()
        for start in range(first, last, SLICE):
            part = slice(start, min(start + SLICE, last))
            scores = torch.from_numpy((queries @ self.others[part].T).toarray()).to(best)
            columns = torch.from_numpy(self.owners[part] - entities.start).to(best.device)
            best = best.scatter_reduce(1, columns.expand(len(scores), -1), scores, "amax")
        return best


def _best_of(scores: Scores, k: int) -> Rows:
    """The KB rows [n, k] with the highest scores, best first; equal ones in KB order."""
    rows, values = np.empty((scores.num_mentions, 0), np.int64), np.empty((scores.num_mentions, 0), np.float32)
    for part in scores.slices():
        block = scores.of(part).numpy()
        width = block.shape[1]
        here = np.argsort(-block, axis=1, kind="stable")[:, :k] if k > width // 4 else _largest(block, k)
        rows = np.concatenate([rows, here + part.start], axis=1)
        values = np.concatenate([values, np.take_along_axis(block, here, axis=1)], axis=1)
        if part.start:
            order = np.argsort(-values, axis=1, kind="stable")[:, :k]
            rows, values = np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1)
    return rows


def _largest(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    columns = np.argpartition(-scores, k, axis=1)[:, :k]
    columns.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


class EntityNames:
    """Names and aliases of a KB, compared with a mention by the cosine of `NameIndex`; an entity counts by its best.

    The weights are fitted once, on all strings of the first KB; n-grams that come later have none. Rows are stable:
    an added entity gets the next row, and the row of a removed one is never used again.

    Args:
        names: One name an entity.
        aliases: Other names of each entity; empty ones are left out.

    Raises:
        DataError: Names and aliases differ in number, or no name has two letters to compare.
    """

    def __init__(self, names: Sequence[str], aliases: Sequence[Sequence[str]] | None = None) -> None:
        strings, counts = _strings(names, aliases)
        vectorizer = name_vectorizer()
        try:
            vectors = vectorizer.fit_transform(strings)
        except ValueError as error:
            raise DataError("names to compare", str(error), "Give the entities names.") from error
        self._vocabulary: dict[str, int] = {ngram: int(i) for ngram, i in vectorizer.vocabulary_.items()}
        self._idf = np.asarray(vectorizer.idf_, dtype=np.float32)
        self._set(vectors.T.tocsr(), counts, np.ones(len(counts), dtype=bool))

    def _set(self, postings: sp.csr_matrix, counts: Rows, live: NDArray[np.bool_]) -> None:
        """Takes the weights [num_ngrams, num_strings], the strings of each entity, and which entities are there."""
        self._postings = postings
        self._added = postings[:, :0]  # of further strings
        self._set_entities(counts, live)

    def _set_entities(self, counts: Rows, live: NDArray[np.bool_]) -> None:
        self._counts, self._live = counts, live
        self._last: tuple[str, Floats] | None = None
        # The strings by their place among those of their entity: the names, then the first aliases, and so on.
        self._first = np.cumsum(counts) - counts
        having = [np.flatnonzero(counts > place) for place in range(1, int(counts.max(initial=0)))]
        self._aliases = [(owners, self._first[owners] + place) for place, owners in enumerate(having, start=1)]

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
                answers[mention] = _first_largest(self._scores(mention), k)
        return np.array([answers[mention] for mention in mentions], dtype=np.int64).reshape(len(mentions), k)

    def scores_of(self, mentions: Sequence[str], rows: ArrayLike) -> Floats:
        """The best cosine [n, k], float32, of each mention with the strings of each of its own entities [n, k].

        Raises:
            DataError: A row was never given, or its entity is removed.
        """
        wanted = self._checked_rows(rows)
        scores = np.empty(wanted.shape, dtype=np.float32)
        places: dict[str, list[int]] = {}
        for place, mention in enumerate(mentions):
            places.setdefault(mention, []).append(place)
        for mention, where in places.items():
            scores[where] = self._scores(mention)[wanted[where]]
        return scores

    def add(self, names: Sequence[str], aliases: Sequence[Sequence[str]] | None = None) -> Rows:
        """Makes entities findable at once; returns their rows [m]. Many in one call cost less than one at a time."""
        strings, counts = _strings(names, aliases)
        first = len(self._counts)
        weighted = [self._weights(string) for string in strings]
        ends = np.cumsum([0, *(len(columns) for columns, _ in weighted)])
        columns = np.concatenate([np.empty(0, np.int64), *(columns for columns, _ in weighted)])
        weights = np.concatenate([np.empty(0, np.float32), *(weights for _, weights in weighted)])
        vectors = sp.csr_matrix((weights, columns, ends), shape=(len(strings), len(self._idf)))
        added = sp.hstack([self._added, vectors.T], format="csr")
        live = np.concatenate([self._live, np.ones(len(counts), dtype=bool)])
        all_counts = np.concatenate([self._counts, counts])
        if added.nnz > self._postings.nnz // 8:  # else all would be copied for each entity that comes
            self._set(sp.hstack([self._postings, added], format="csr"), all_counts, live)
        else:
            self._added = added
            self._set_entities(all_counts, live)
        return np.arange(first, first + len(counts))

    def remove(self, rows: ArrayLike) -> None:
        """Leaves entities [m] out of every answer from now on.

        Raises:
            DataError: A row was never given, or its entity is removed already; nothing is removed then.
        """
        self._live[self._checked_rows(rows)] = False
        self._last = None

    def save(self, folder: Path) -> None:
        """Writes the index; a process that is killed meanwhile leaves what was there before."""
        with sealed_folder(folder, CONTENT, FORMAT_VERSION, {"count": len(self)}) as place:
            ngrams = sorted(self._vocabulary, key=self._vocabulary.__getitem__)
            text = json.dumps(ngrams, ensure_ascii=True)
            (place / "ngrams.json").write_text(text, encoding="ascii")
            for name, array in self._arrays().items():
                np.save(place / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> EntityNames:
        """The index as it was saved.

        Raises:
            DataError: No index, a damaged one, or one of another format.
        """
        open_sealed(folder, CONTENT, FORMAT_VERSION)
        index, what = cls.__new__(cls), f"a {CONTENT} in {folder}"
        ngrams: list[str] = read_json(folder / "ngrams.json", list[str], what, REMEDY)
        index._vocabulary = {ngram: i for i, ngram in enumerate(ngrams)}
        kinds = {"idf": "f", "starts": "i", "strings": "i", "weights": "f", "counts": "i", "live": "b"}
        idf, starts, strings, weights, counts, live = (
            read_array(folder / f"{name}.npy", what, REMEDY, kind, 1) for name, kind in kinds.items()
        )
        try:
            is_fit = len(ngrams) == len(idf) == len(index._vocabulary) and len(counts) == len(live)
            is_bounded = 1 <= counts.min(initial=1) <= counts.max(initial=1) <= MOST_ALIASES
            # Only strings that were added later have no posting.
            if not is_fit or not is_bounded or counts.sum() > MOST_STRINGS * (len(counts) + len(strings)):
                raise ValueError("arrays of lengths that do not fit")
            postings = sp.csr_matrix((weights, strings, starts), shape=(len(idf), int(counts.sum())))
            postings.check_format(full_check=True)  # SciPy and NumPy are told these places without looking
        except (ValueError, OverflowError) as error:
            raise DataError(what, f"damaged arrays ({error})", REMEDY) from error
        index._idf = idf
        index._set(postings, counts, live)
        return index

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        postings = sp.hstack([self._postings, self._added], format="csr")
        return {
            "idf": self._idf,
            "starts": postings.indptr,
            "strings": postings.indices,
            "weights": postings.data,
            "counts": self._counts,
            "live": self._live,
        }

    def _weights(self, string: str) -> tuple[Rows, Floats]:
        """The columns and weights of one string: what scikit-learn's transform gives, without its checks."""
        counts = Counter(self._vocabulary[ngram] for ngram in ngrams_of(string) if ngram in self._vocabulary)
        columns = np.array(sorted(counts), dtype=np.int64)
        times = np.array([counts[int(column)] for column in columns], dtype=np.float32)
        weights: Floats = (1 + np.log(times)) * self._idf[columns]
        length = np.sqrt(np.dot(weights, weights))
        return columns, weights / (length or np.float32(1))

    def _scores(self, mention: str) -> Floats:
        """The best cosine [number of rows] of each entity, -1 where it is removed."""
        # A linker searches for a mention, and then asks what its candidates' names score.
        if self._last is None or self._last[0] != mention:
            self._last = mention, self._compute(mention)
        return self._last[1]

    def _compute(self, mention: str) -> Floats:
        columns, weights = self._weights(mention)
        num_first = self._postings.shape[1]
        scores = np.zeros(num_first + self._added.shape[1])
        for postings, part in ((self._postings, scores[:num_first]), (self._added, scores[num_first:])):
            here = [slice(postings.indptr[column], postings.indptr[column + 1]) for column in columns.tolist()]
            shares = [weight * postings.data[each] for each, weight in zip(here, weights, strict=True)]
            if here and len(part) < FEW:
                strings = np.concatenate([postings.indices[each] for each in here])
                part[:] = np.bincount(strings, np.concatenate(shares), len(part))
                continue
            for each, share in zip(here, shares, strict=True):  # without a copy of them all
                strings = postings.indices[each].astype(np.intp)  # each once
                part[strings] = part.take(strings) + share
        of_strings = scores.astype(np.float32)
        best = of_strings.take(self._first)
        for owners, aliases in self._aliases:
            best[owners] = np.maximum(best.take(owners), of_strings.take(aliases))
        best[~self._live] = -1  # below every cosine
        return best

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


def _first_largest(scores: Floats, k: int) -> Rows:
    """The places [k] of the k largest scores, best first; of equal ones the first."""
    if not k:
        return np.empty(0, dtype=np.int64)
    places, num_groups = np.arange(len(scores)), len(scores) // GROUP
    if num_groups >= 2 * k:
        # The k-th best is at least the k-th highest peak of groups: what is below it needs no sorting.
        peaks = scores[: num_groups * GROUP].reshape(GROUP, num_groups).max(0)
        places = np.flatnonzero(scores >= np.partition(peaks, num_groups - k)[num_groups - k])
        scores = scores[places]
    last = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > last)
    level = np.flatnonzero(scores == last)[: k - len(above)]
    best: Rows = places[np.concatenate([above[np.argsort(-scores[above], kind="stable")], level])]
    return best
