"""The index of a KB's vectors: nearest first, by ids that stay, with entities added and removed as they come."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dim.core.arrays import Floats, Rows
from dim.core.choices import check_choice
from dim.core.folder_files import read_array, write_arrays
from dim.core.sealed import REMEDY, Manifest, open_sealed, sealed_folder
from dim.errors import ConfigError, DataError
from dim.search.checked import checked_ids, checked_queries, checked_vectors, refuse_unknown, some
from dim.search.codes import CodeStore, build_codes
from dim.search.recall import SPARE, Recall, RecallSample
from dim.search.stores import ExactStore, FaissStore, Storage, Store, build_faiss

FORMAT_VERSION = 2
CONTENT = "vector index"
EXACT_BELOW = 50_000  #: Vectors; see `VectorIndex.build`.
MOST_PROBED = 0.1  #: Of the lists of IVF, beyond which "auto" is exact: a linker asks for several times the answers.

Kind = Literal["exact", "flat", "ivf", "hnsw"]
KindOrAuto = Literal["auto", "exact", "flat", "ivf", "hnsw"]


class Measured(TypedDict):
    """As `Recall` has it."""

    at_10: float
    at_k: float
    k: int
    num_queries: int
    wanted: float


class Parameters(TypedDict):
    """What the build of a FAISS index chose."""

    effort: NotRequired[int]
    width: NotRequired[int]
    storage: NotRequired[str]
    rescored: NotRequired[int]


class Facts(Manifest):
    """What the manifest of an index says."""

    kind: Kind
    width: int
    count: int
    recall: Measured
    parameters: Parameters


def check_kind(kind: object) -> None:
    """Raises ConfigError where there is no such kind of index."""
    check_choice("the kind of an index", kind, get_args(KindOrAuto))


def check_storage(storage: object, kind: KindOrAuto) -> None:
    """Raises ConfigError where there is no such storage, or not of this kind of index."""
    check_choice("the storage of an index", storage, get_args(Storage))
    if storage == "int4" and kind not in ("auto", "ivf"):
        raise ConfigError("storage int4 of an index of kind ivf or auto", f"kind {kind}", "Choose another of the two.")


class VectorIndex:
    """The nearest vectors of a KB, unit vectors or a part of such, by inner product; made by `build` or `load`.

    A fixed part, exact or FAISS, holds the vectors of the build. What is added later is compared exactly beside it, and
    what is removed is left out of the answers, so that neither needs a rebuild; when the added ones are no longer few
    (`num_added`), a new build is faster.

    Attributes:
        kind: Of the fixed part.
        recall: Measured at build time on the fixed part.
        parameters: What the build chose, for people to read.
        recall_queries: As of `build`, kept and saved for the next one; None: none were given.
        num_added: Vectors beside the fixed part.
    """

    def __init__(
        self,
        store: Store,
        ids: Rows,
        width: int,
        kind: Kind,
        recall: Recall,
        parameters: dict[str, Any],
        recall_queries: Floats | None = None,
    ) -> None:
        self.kind, self.width, self.recall, self.parameters = kind, width, recall, parameters
        self.recall_queries = recall_queries
        self._store, self._store_ids = store, ids
        self._are_counted = np.array_equal(ids, np.arange(len(ids)))
        self._live = np.ones(len(ids), dtype=bool)
        self._side, self._side_ids = ExactStore(np.empty((0, width), np.float32)), np.empty(0, np.int64)

    @classmethod
    def build(
        cls,
        vectors: ArrayLike,
        ids: ArrayLike | None = None,
        kind: KindOrAuto = "auto",
        recall_queries: ArrayLike | None = None,
        k: int = 20,
        wanted_recall: float = 0.98,
        storage: Storage = "float16",
        seed: int = 0,
        progress: bool = False,
    ) -> VectorIndex:
        """An index of vectors, its recall measured against exact search.

        "auto" is exact below 50,000 vectors and IVF from there on, unless IVF must probe more than a tenth of its
        lists to reach the wanted recall. The numbers come from `dim bench search`: up to 100,000 of its vectors, where
        IVF has to probe a third of the lists or more, exact search answers batches 1.6 times as fast; from 316,228 on
        one list is enough, and IVF is 45 times as fast or more. HNSW is never chosen: over 100,000 of these vectors it
        built four times as long as IVF, and at recall 0.98 was no faster than FAISS flat in batches.

        Args:
            vectors: [n, d], float32, of length 1, or shorter where they are a part of unit vectors (`search`).
            ids: [n], int64, all different and not negative; by default 0 … n-1.
            kind: "exact": a matrix product; "flat", "ivf", "hnsw": of FAISS.
                HNSW built by several threads differs from build to build.
            recall_queries: [b, d], such as will be asked; by default 500 vectors of the KB with noise. Where queries
                are further from the vectors than these from each other, as texts from images, an index that was tuned
                without them misses much of what they ask for, and says a recall that is not theirs.
            k: Answers that a search is tuned for.
            wanted_recall: Share of the k nearest that IVF and HNSW are tuned to find, with the least effort.
            storage: Of a coordinate in IVF and HNSW; "int8" halves the memory and rounds scores to about 0.001.
                "int4", of IVF alone, keeps codes of 4 bits in memory, which choose candidates, and float16 on the disk,
                which scores them.
            seed: Of k-means and of the samples.
            progress: Show a bar, on stderr.

        Raises:
            DataError: Vectors are not finite or longer than 1, or ids are not unique.
            ConfigError: `k` or `wanted_recall` is out of range, or there is no such kind or storage.
        """
        check_kind(kind)
        check_storage(storage, kind)
        if k < 1 or not 0 < wanted_recall <= 1:
            raise ConfigError(
                "k ≥ 1 and 0 < wanted_recall ≤ 1", f"k={k}, wanted_recall={wanted_recall}", "Choose others."
            )
        values = checked_vectors(vectors)
        rows = checked_ids(np.arange(len(values)) if ids is None else ids, len(values))
        if np.any(rows[1:] < rows[:-1]):  # equal scores are sorted by position, which then is by id
            order = np.argsort(rows)
            values, rows = np.ascontiguousarray(values[order]), rows[order]
        exact = Recall(1.0, 1.0, min(k, len(rows)), 0, wanted_recall)
        queries = None if recall_queries is None else checked_queries(recall_queries, values.shape[1])
        queries = None if queries is None or not len(queries) else queries
        wanted: Kind = ("exact" if len(rows) < EXACT_BELOW else "ivf") if kind == "auto" else kind
        if wanted == "exact" or not len(rows):
            return cls(ExactStore(values), rows, values.shape[1], "exact", exact, {}, queries)
        store = (
            build_codes(values, seed, progress)
            if wanted == "ivf" and storage == "int4"
            else build_faiss(values, wanted, "int8" if storage == "int8" else "float16", seed, progress)
        )
        sample = RecallSample(values, queries, k, seed)
        if wanted != "flat":
            sample.tune(store, wanted_recall)
        if kind == "auto" and store.effort > MOST_PROBED * store.most:
            tried = {"tried": "ivf", "probes": store.effort, "lists": store.most}
            return cls(ExactStore(values), rows, values.shape[1], "exact", exact, tried, queries)
        parameters: dict[str, Any] = {"effort": store.effort, "most": store.most, "width": store.width, "seed": seed}
        if wanted != "flat":
            parameters["storage"] = storage
        if isinstance(store, CodeStore):
            parameters["rescored"] = store.rescored
        return cls(store, rows, values.shape[1], wanted, sample.measure(store, wanted_recall), parameters, queries)

    def __len__(self) -> int:
        return int(self._live.sum()) + self.num_added

    @property
    def compares_all(self) -> bool:
        """Whether a search compares each vector, so that it finds the nearest for sure."""
        return self.kind in ("exact", "flat")

    @property
    def num_added(self) -> int:
        """Vectors added since the build."""
        return len(self._side_ids)

    @property
    def ids(self) -> Rows:
        """The ids [len] of all vectors that can be found, ascending."""
        return np.sort(np.concatenate([self._store_ids[self._live], self._side_ids]))

    def search(self, queries: ArrayLike, k: int, beside: Floats | None = None) -> tuple[Floats, Rows]:
        """The k nearest vectors of each query, best first; of equally near ones the smaller id comes first.

        Args:
            queries: [b, d], float32.
            k: Answers a query, ≥ 0.
            beside: [b, m], float32, m above every id: what is added to the product of a query with the vector of an
                id, such as that of further columns; of an index that compares all.

        Returns:
            Scores [b, k], float32, and ids [b, k], int64; -inf and -1 where there are fewer.

        Raises:
            DataError: Queries of another width, or not finite.
            ConfigError: Something is `beside` an index that does not compare all.
        """
        values = checked_queries(queries, self.width)
        if beside is not None and not self.compares_all:
            remedy = "Score the candidates of each part, or build an exact one."
            raise ConfigError("an index that compares all vectors, to add something to each", self.kind, remedy)
        of_store, of_side = (None, None) if beside is None else self._columns_of(beside)
        fixed = _nearest(self._store, self._store_ids, self._live, values, k, of_store)
        if not self.num_added:
            return fixed
        added = _nearest(self._side, self._side_ids, np.ones(self.num_added, bool), values, k, of_side)
        scores, ids = np.concatenate([fixed[0], added[0]], axis=1), np.concatenate([fixed[1], added[1]], axis=1)
        return _best(scores, ids, k)

    def _columns_of(self, beside: Floats) -> tuple[Floats, Floats]:
        """The columns of the fixed part's ids, a view where these are 0 … n - 1, and those of the added ones."""
        for ids in (self._store_ids[-1:], self._side_ids):  # the first are ascending
            if (most := ids.max(initial=-1)) >= beside.shape[1]:
                raise DataError(f"ids below {beside.shape[1]:,}", str(most), "Build the index again, of these rows.")
        of_store = beside[:, : len(self._store_ids)] if self._are_counted else beside[:, self._store_ids]
        return of_store, beside[:, self._side_ids]

    def scores_of(self, queries: ArrayLike, ids: ArrayLike, missing: float | None = None) -> Floats:
        """The inner products [b, k], float32, of each query [b, d] with the vectors of its own ids [b, k].

        Args:
            queries: [b, d], float32.
            ids: [b, k], int64.
            missing: The score of an id that the index lacks; None: it is an error.

        Raises:
            DataError: An id is unknown, or queries are of another width, or not finite.
        """
        values, wanted = checked_queries(queries, self.width), np.asarray(ids, dtype=np.int64)
        if wanted.ndim != 2 or len(wanted) != len(values):
            raise DataError(f"ids [{len(values)}, k]", f"{list(wanted.shape)}", "Give each query its own ids.")
        is_there = self.has(wanted.ravel()).reshape(wanted.shape)
        if missing is None:
            refuse_unknown(wanted[~is_there])
        scores = np.full(wanted.shape, missing, dtype=np.float32)
        for query, own, known, found in zip(values, wanted, is_there, scores, strict=True):
            found[known] = np.einsum("d,kd->k", query, self._vectors(own[known]))
        return scores

    def vectors_of(self, ids: ArrayLike) -> Floats:
        """The vectors [m, d], float32, of ids [m]; IVF and HNSW keep them rounded.

        Raises:
            DataError: An id is unknown.
        """
        wanted = np.asarray(ids, dtype=np.int64)
        refuse_unknown(wanted[~self.has(wanted)])
        return self._vectors(wanted)

    def _vectors(self, wanted: Rows) -> Floats:
        if not self.num_added:
            return self._store.vectors_at(np.searchsorted(self._store_ids, wanted))
        vectors = np.empty((len(wanted), self.width), dtype=np.float32)
        is_added = np.isin(wanted, self._side_ids)
        vectors[~is_added] = self._store.vectors_at(np.searchsorted(self._store_ids, wanted[~is_added]))
        order = np.argsort(self._side_ids)
        vectors[is_added] = self._side.vectors[order[np.searchsorted(self._side_ids[order], wanted[is_added])]]
        return vectors

    def add(self, ids: ArrayLike, vectors: ArrayLike) -> None:
        """Makes vectors [m, d] with new ids [m] findable at once; many in one call cost less than one at a time.

        Raises:
            DataError: An id is there already or twice, or the vectors are longer than 1 or of another width.
        """
        values = checked_vectors(vectors, self.width)
        rows = checked_ids(ids, len(values))
        known = self.has(rows)
        if known.any():
            raise DataError("ids that the index lacks", f"{some(rows[known])} in it", "Remove them first.")
        self._side = ExactStore(np.concatenate([self._side.vectors, values]))
        self._side_ids = np.concatenate([self._side_ids, rows])

    def remove(self, ids: ArrayLike) -> None:
        """Leaves the vectors of these ids [m] out of every answer from now on.

        Raises:
            DataError: An id is unknown or named twice; nothing is removed then.
        """
        rows = checked_ids(ids, np.asarray(ids).size)
        refuse_unknown(rows[~self.has(rows)])
        self._live &= ~np.isin(self._store_ids, rows)
        kept = ~np.isin(self._side_ids, rows)
        self._side, self._side_ids = ExactStore(self._side.vectors[kept]), self._side_ids[kept]

    def has(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Of each id [m], whether it can be found."""
        ids = np.asarray(ids, dtype=np.int64)
        places = np.searchsorted(self._store_ids, ids)
        inside = places < len(self._store_ids)
        stored = np.zeros(len(ids), dtype=bool)
        stored[inside] = (self._store_ids[places[inside]] == ids[inside]) & self._live[places[inside]]
        return stored | np.isin(ids, self._side_ids) if self.num_added else stored

    def save(self, folder: Path) -> None:
        """Writes the index; a process that is killed meanwhile leaves what was there before."""
        about = {
            "kind": self.kind,
            "width": self.width,
            "count": len(self),
            "recall": asdict(self.recall),
            "parameters": self.parameters,
        }
        with sealed_folder(folder, CONTENT, FORMAT_VERSION, about) as place:
            self._store.save(place)
            arrays = {"ids": self._store_ids, "live": self._live}
            arrays |= {"added_ids": self._side_ids, "added_vectors": self._side.vectors}
            if self.recall_queries is not None:
                arrays["recall_queries"] = self.recall_queries
            write_arrays(place, arrays)

    @classmethod
    def load(cls, folder: Path) -> VectorIndex:
        """The index as it was saved, its vectors mapped from the disk.

        Every file is read once for its checksum: about a second a GB.

        Raises:
            DataError: No index, a damaged one, or one of another format.
        """
        manifest = open_sealed(folder, CONTENT, FORMAT_VERSION, kind=Facts)
        kind, parameters = manifest["kind"], manifest["parameters"]
        store = _stored(folder, kind, parameters)
        what, width = f"a {CONTENT} in {folder}", manifest["width"]
        ids, live, added, vectors = (
            read_array(folder / f"{name}.npy", what, REMEDY, kinds, 2 if name == "added_vectors" else 1)
            for name, kinds in (("ids", "i"), ("live", "b"), ("added_ids", "i"), ("added_vectors", "f"))
        )
        if not (len(store) == len(ids) == len(live) and store.vector_width == vectors.shape[1] == width) or (
            len(added) != len(vectors)
        ):
            found = (
                f"{len(store):,} of width {store.vector_width}, {len(ids):,}, {len(live):,} and {len(added):,} of them"
            )
            raise DataError(f"{what} of vectors of width {width} with their ids", found, REMEDY)
        recall = Recall(**{name: manifest["recall"][name] for name in Measured.__annotations__})
        index = cls(store, ids, width, kind, recall, parameters, _asked(folder, what, width))
        index._live, index._side_ids, index._side = live, added, ExactStore(vectors)
        return index


def _asked(folder: Path, what: str, width: int) -> Floats | None:
    """The `recall_queries` that an index was saved with."""
    path = folder / "recall_queries.npy"
    if not path.exists():
        return None
    queries: Floats = read_array(path, what, REMEDY, "f", 2)
    if queries.shape[1] != width:
        raise DataError(f"{what} of width {width} with its queries", f"queries of {queries.shape[1]}", REMEDY)
    return queries


def _stored(folder: Path, kind: Kind, parameters: Parameters) -> Store:
    if kind == "exact":
        return ExactStore.load(folder)
    effort, width = parameters.get("effort", 0), parameters.get("width", 0)
    if parameters.get("storage") == "int4":
        return CodeStore.load_codes(folder, effort, width, parameters.get("rescored", 0))
    return FaissStore.load(folder, kind, effort, width)


def _nearest(
    store: Store, ids: Rows, live: NDArray[np.bool_], queries: Floats, k: int, beside: Floats | None
) -> tuple[Floats, Rows]:
    """Scores and ids [b, k] of the store's live vectors.

    The search is widened for a query as long as removed vectors leave fewer than k, or the last answer is as near as
    the last one looked at, since a vector with the same score and a smaller id may then stand behind it. `beside`
    [b, len(store)] is added to the products.
    """
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    found = np.full((len(queries), k), -1, dtype=np.int64)
    pending, width = np.arange(len(queries)), min(len(store), k + SPARE)
    if not k or not width:
        return scores, found
    while pending.size:
        own = beside if beside is None or len(pending) == len(queries) else beside[pending]
        raw, positions = store.found(queries[pending], width, own)
        kept = (positions >= 0) & live[positions]
        best, best_ids = _best(np.where(kept, raw, -np.inf), np.where(kept, ids[positions], -1), k)
        scores[pending], found[pending] = best, best_ids
        is_done = (best[:, -1] > raw.min(axis=1) + store.slack) | (width >= len(store))
        pending, width = pending[~is_done], min(2 * width, len(store))
    return scores, found


def _best(scores: Floats, ids: Rows, k: int) -> tuple[Floats, Rows]:
    order = np.lexsort((ids, -scores), axis=-1)[:, :k]
    best, best_ids = np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)
    if order.shape[1] == k:
        return best, best_ids
    missing = ((0, 0), (0, k - order.shape[1]))
    return np.pad(best, missing, constant_values=-np.inf), np.pad(best_ids, missing, constant_values=-1)
