"""The fixed part of a vector index: vectors by their position, compared exactly or by FAISS."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import faiss as typed_faiss
import numpy as np
import torch

from dim.core.arrays import Floats, Rows
from dim.core.excerpts import one_line
from dim.core.folder_files import read_array
from dim.core.progress import shown
from dim.core.sealed import REMEDY
from dim.errors import DataError
from dim.search.centres import POINTS_A_LIST, centres_of, probing, sample
from dim.search.exact import top_k
from dim.search.half_precision import HalfPrecision

faiss: Any = typed_faiss  # its stubs lack half of what it offers
FaissKind = Literal["flat", "ivf", "hnsw"]
Storage = Literal["float16", "int8", "int4"]

QUERIES_AT_ONCE = 256
FLOATS_AT_ONCE = 2**26  # of one array in a search: 256 MiB
VECTORS_AT_ONCE = 2**16  # added to a FAISS index between two steps of the progress bar
FLOATS_COPIED = 2**27  # of an exact store's vectors, at most
FEW = 6  # queries at a time: of more, one matrix product is faster
#: Up to so many queries FAISS is faster, as it takes one after the other, and from so many floats of queries on, as it
#: multiplies matrices then (1.14 and 1.15), if torch has but one thread, too.
ONE_BY_ONE, MANY = 5, 2**17
LINKS, CONSTRUCTION = 16, 80  # HNSW: links a vector, and candidates when a vector is added


class Store(Protocol):
    """Vectors that never change, numbered from 0.

    Attributes:
        slack: How much the scores of one pair may differ between the choice of candidates and the answer.
    """

    slack: float

    def __len__(self) -> int: ...

    @property
    def vector_width(self) -> int:
        """Columns of a vector."""

    def found(self, queries: Floats, width: int, beside: Floats | None = None) -> tuple[Floats, Rows]:
        """Scores and positions [b, width], best first up to `slack`; -inf and -1 where it found fewer.

        Args:
            queries: [b, d].
            width: How many are wanted.
            beside: [b, n], what is added to the product of each query with each vector.
        """

    def vectors_at(self, positions: Rows) -> Floats:
        """The vectors [m, d] at positions [m], as they are stored."""

    def save(self, folder: Path) -> None:
        """Writes its one file."""


class ExactStore:
    """All vectors in memory or in a mapped file, compared with each query.

    The candidates of a matrix product are compared again one pair at a time: the score of a pair then depends on
    neither its place in the matrix nor on the other queries, so equal vectors have equal scores.

    FAISS finds the candidates where it is faster. Of a few queries with something beside they come from half
    precision, so many that none better is left out. That takes half as much memory again, so of a matrix beyond
    512 MiB, which may be mapped, no such copy is made.

    Args:
        vectors: [n, d], float32, of length 1 at most.
    """

    FILE = "vectors.npy"
    slack = 1e-5

    def __init__(self, vectors: Floats) -> None:
        self.vectors = vectors

    @classmethod
    def load(cls, folder: Path) -> ExactStore:
        """A store on the mapped file. Copy-on-write, as PyTorch warns of arrays that are read-only."""
        return cls(read_array(folder / cls.FILE, f"the vectors of an index in {folder}", REMEDY, "f", 2, "c"))

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def vector_width(self) -> int:
        """Columns of a vector."""
        return int(self.vectors.shape[1])

    def found(self, queries: Floats, width: int, beside: Floats | None = None) -> tuple[Floats, Rows]:
        """Scores and positions [b, min(width, n)]."""
        width = min(width, len(self))
        multiplies = queries.size >= MANY and torch.get_num_threads() == 1
        if beside is None and (len(queries) <= ONE_BY_ONE or multiplies):
            positions = _nearest_by_faiss(queries, self.vectors, width)
            return pair_scores(queries, self.vectors, positions), positions
        scores = np.empty((len(queries), width), dtype=np.float32)
        positions = np.empty((len(queries), width), dtype=np.int64)
        step = max(1, min(QUERIES_AT_ONCE, FLOATS_AT_ONCE // max(1, len(self), width * self.vectors.shape[1])))
        matrix = torch.from_numpy(self.vectors).T
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            added = None if beside is None else beside[part]
            if added is not None and len(queries[part]) <= FEW and self.vectors.size <= FLOATS_COPIED:
                scores[part], positions[part] = self._few(queries[part], width, added)
                continue
            products = torch.from_numpy(queries[part]) @ matrix
            products = products if added is None else products.add_(torch.from_numpy(added))
            positions[part] = top_k(products, width)[1].numpy()
            scores[part] = pair_scores(queries[part], self.vectors, positions[part], added)
        return scores, positions

    def _few(self, queries: Floats, width: int, beside: Floats) -> tuple[Floats, Rows]:
        """The exact scores and positions [b, width], best first, of a few queries."""
        products, error = self._half_precision.products(queries)
        products += torch.from_numpy(beside)
        looked_at = width
        while True:
            looked_at = min(2 * looked_at, len(self))
            nearly, positions = (found.numpy() for found in top_k(products, looked_at))
            exact = pair_scores(queries, self.vectors, positions, beside)
            order = np.argsort(-exact, axis=1)[:, :width]
            scores = np.take_along_axis(exact, order, axis=1)
            if looked_at == len(self) or (scores[:, -1:] > nearly[:, -1:] + error[:, None]).all():
                return scores, np.take_along_axis(positions, order, axis=1)

    @cached_property
    def _half_precision(self) -> HalfPrecision:
        return HalfPrecision(self.vectors)

    def vectors_at(self, positions: Rows) -> Floats:
        """The vectors [m, d], float32."""
        return self.vectors[positions]

    def save(self, folder: Path) -> None:
        """Writes vectors.npy."""
        np.save(folder / self.FILE, self.vectors, allow_pickle=False)


class FaissStore:
    """Vectors in a FAISS index.

    Args:
        index: The FAISS index, whose ids are positions.
        kind: Of the index.
        effort: Lists that a search probes (IVF) or candidates that it keeps (HNSW), for answers up to `width`.
        width: A search for more answers takes as many times the effort.
        path: The file that it was loaded from.
    """

    FILE = "faiss.index"
    slack = 0.0

    def __init__(self, index: Any, kind: FaissKind, effort: int = 1, width: int = 1, path: Path | None = None) -> None:
        self.index, self.kind, self.effort, self.width = index, kind, effort, width
        # An open file stays the one that is mapped, whatever takes its name: `save` copies it.
        self._file = path.open("rb") if path else None
        self._last: tuple[tuple[int, int, int], Any] | None = None

    @classmethod
    def load(cls, folder: Path, kind: FaissKind, effort: int, width: int) -> FaissStore:
        """A store on the mapped file."""
        flag = faiss.IO_FLAG_MMAP if kind == "ivf" else faiss.IO_FLAG_MMAP_IFC
        path = folder / cls.FILE
        try:
            if effort < 1 or width < 1:
                raise ValueError(f"an effort of {effort} for {width} answers")
            index = faiss.read_index(str(path), flag | faiss.IO_FLAG_READ_ONLY)
            return cls(index, kind, effort, width, path)
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError(f"a FAISS index at {path}", one_line(error), REMEDY) from error

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def vector_width(self) -> int:
        """Columns of a vector."""
        return int(self.index.d)

    def __del__(self) -> None:
        if getattr(self, "_file", None):
            self._file.close()  # type: ignore[union-attr]

    @property
    def least(self) -> int:
        """The effort below which a search would not get cheaper; HNSW keeps as many candidates as answers."""
        return 1 if self.kind == "ivf" else max(1, min(self.width, self.most))

    @property
    def most(self) -> int:
        """The effort that looks at everything."""
        return int(self.index.nlist) if self.kind == "ivf" else max(1, len(self))

    def found(self, queries: Floats, width: int, beside: Floats | None = None) -> tuple[Floats, Rows]:
        """Scores and positions [b, min(width, n)]; `beside` where the kind is flat alone."""
        width = min(width, len(self))
        if not len(queries) or not width:
            return np.empty((len(queries), width), np.float32), np.empty((len(queries), width), np.int64)
        if beside is not None:
            return self._exact.found(queries, width, beside)
        effort = min(self.effort * math.ceil(width / self.width), self.most)
        scores, positions = self.index.search(queries, width, params=self._told(effort, width))
        return np.where(positions < 0, np.float32(-np.inf), scores), positions

    def _told(self, effort: int, width: int) -> Any:
        """`_parameters`, kept for the next search: to make them takes as long as to search for one query."""
        asked = effort, width, self._candidates(width)
        if self._last is None or self._last[0] != asked:
            self._last = asked, self._parameters(*asked)
        return self._last[1]

    def _candidates(self, width: int) -> int:
        """How many vectors are chosen for so many answers."""
        return width

    def _parameters(self, effort: int, width: int, candidates: int) -> Any:
        """What FAISS is told of a search for `width` answers."""
        if self.kind == "ivf":
            return probing(self.index, effort)
        return faiss.SearchParametersHNSW(efSearch=max(effort, width)) if self.kind == "hnsw" else None

    @cached_property
    def _exact(self) -> ExactStore:
        """The same vectors, where the kind is flat."""
        vectors = faiss.rev_swig_ptr(self.index.get_xb(), self.index.ntotal * self.index.d)
        return ExactStore(vectors.reshape(-1, self.index.d))

    def vectors_at(self, positions: Rows) -> Floats:
        """The vectors [m, d], rounded as they are stored."""
        if self.kind == "ivf" and self.index.direct_map.no():
            self.index.make_direct_map(True)  # where each vector is: 8 bytes a vector, on the first call
        found: Floats = self.index.reconstruct_batch(positions)
        return found

    def save(self, folder: Path) -> None:
        """Writes faiss.index."""
        path = folder / self.FILE
        if self._file:
            # FAISS would write only the name of the file that an IVF index is mapped from.
            self._file.seek(0)
            with path.open("wb") as copy:
                shutil.copyfileobj(self._file, copy, 2**20)
            return
        faiss.write_index(self.index, str(path))


def build_faiss(
    vectors: Floats,
    kind: FaissKind,
    storage: Literal["float16", "int8"] = "float16",
    seed: int = 0,
    progress: bool = False,
) -> FaissStore:
    """A store of a new FAISS index over `vectors` [n, d], n ≥ 1, with the least effort."""
    num, width = vectors.shape
    with shown(f"building a {kind} index", num, silent=not progress, passing=True) as advance:
        if kind == "flat":
            index = faiss.IndexFlatIP(width)
        elif kind == "ivf":
            index = _trained_ivf(vectors, storage, seed)
        else:
            index = faiss.IndexHNSWSQ(width, _quantizer(storage), LINKS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = CONSTRUCTION
            index.train(_training(vectors, storage, 2**16, seed))
        for block in blocks(vectors):
            index.add(block)
            advance(len(block))
    return FaissStore(index, kind)


def _trained_ivf(vectors: Floats, storage: Storage, seed: int) -> Any:
    centres, width = centres_of(vectors, seed), vectors.shape[1]
    # Without residuals: the score of a pair depends on the two vectors alone.
    index = faiss.IndexIVFScalarQuantizer(
        centres, width, centres.ntotal, _quantizer(storage), faiss.METRIC_INNER_PRODUCT, False
    )
    index.train(_training(vectors, storage, centres.ntotal * POINTS_A_LIST, seed))
    return index


def _training(vectors: Floats, storage: Storage, size: int, seed: int) -> Floats:
    """Up to `size` vectors that FAISS trains on; for int8 with the least and the most of each coordinate.

    It cuts what lies beyond these. Other storages have no range, and need no pass over all vectors.
    """
    sampled = sample(vectors, size, seed)
    return np.vstack([sampled, vectors.min(axis=0), vectors.max(axis=0)]) if storage == "int8" else sampled


def blocks(vectors: Floats) -> Iterator[Floats]:
    """The vectors, `VECTORS_AT_ONCE` at a time."""
    for start in range(0, len(vectors), VECTORS_AT_ONCE):
        yield np.ascontiguousarray(vectors[start : start + VECTORS_AT_ONCE])


def _nearest_by_faiss(queries: Floats, vectors: Floats, width: int) -> Rows:
    """Positions [b, width], on one thread: several of FAISS's own wait for each other where cores are busy."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # of the calling thread's searches alone
    try:
        positions: Rows = faiss.knn(queries, vectors, width, faiss.METRIC_INNER_PRODUCT)[1]
    finally:
        faiss.omp_set_num_threads(threads)
    return positions


def _quantizer(storage: Storage) -> int:
    return int(faiss.ScalarQuantizer.QT_fp16 if storage == "float16" else faiss.ScalarQuantizer.QT_8bit)


def pair_scores(queries: Floats, vectors: Floats, positions: Rows, beside: Floats | None = None) -> Floats:
    """Inner products [b, k] of each query with its own k vectors; a position of -1 gives -inf.

    Where there is something beside them, [b, n], it is added.

    Example:
        >>> pair_scores(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), np.array([[0], [0]])).tolist()
        [[1.0], [0.0]]
    """
    if not positions.size:
        return np.empty(positions.shape, dtype=np.float32)
    # Query by query: the vectors of one stay in the processor's cache.
    scores = np.stack([np.einsum("d,kd->k", q, vectors[own]) for q, own in zip(queries, positions, strict=True)])
    if beside is not None:
        scores += np.take_along_axis(beside, positions, axis=1)
    return np.where(positions < 0, np.float32(-np.inf), scores)
