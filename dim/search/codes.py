"""Vectors of IVF as 4-bit codes in memory, which choose candidates, and as float16 on the disk, which score them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import faiss as typed_faiss
import numpy as np

from dim.core.arrays import Floats, Rows
from dim.core.excerpts import one_line
from dim.core.progress import shown
from dim.core.sealed import REMEDY
from dim.errors import DataError
from dim.search.centres import centres_of, probing, sample
from dim.search.stores import FaissStore, blocks

faiss: Any = typed_faiss  # its stubs lack half of what it offers

MOST_RESCORED = 32  # candidates an answer, where the number of probes is chosen
TRAINING = 2**16  # vectors that the levels of the codes are fitted to
LEVELS = 16  # of a code


class CodeStore(FaissStore):
    """An IVF index whose codes, 4 bits a coordinate, choose candidates, which float16 vectors in a mapped file score.

    A code says where the vector lies from the centre of its list, each coordinate by one of 16 levels of its own; FAISS
    compares codes by its fast scan (André, Kermarrec, Le Scouarnec 2015).

    Args:
        codes: The IVF index.
        vectors: The flat index of the float16 vectors, by position.
        effort: Lists that a search probes, for answers up to `width`.
        width: A search for more answers takes as many times the effort.
        rescored: Candidates that are scored, of `width` answers.
    """

    VECTORS = "vectors.faiss"

    def __init__(self, codes: Any, vectors: Any, effort: int = 1, width: int = 1, rescored: int = 1) -> None:
        super().__init__(faiss.IndexRefine(codes, vectors), "ivf", effort, width)
        self.codes, self.vectors, self.rescored = codes, vectors, rescored

    @classmethod
    def load_codes(cls, folder: Path, effort: int, width: int, rescored: int) -> CodeStore:
        """A store whose codes are read and whose vectors are mapped."""
        path = folder / cls.FILE
        try:
            if min(effort, width, rescored) < 1:
                raise ValueError(f"an effort of {effort} for {width} answers of {rescored}")
            codes = faiss.read_index(str(path))
            path = folder / cls.VECTORS
            vectors = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY)
            if not isinstance(codes, faiss.IndexIVFPQFastScan) or not isinstance(vectors, faiss.IndexScalarQuantizer):
                raise ValueError(f"{type(codes).__name__} and {type(vectors).__name__}")
            return cls(codes, vectors, effort, width, rescored)
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError(f"a FAISS index at {path}", one_line(error), REMEDY) from error

    @property
    def most(self) -> int:
        """The effort that looks at everything."""
        return int(self.codes.nlist)

    @property
    def most_rescored(self) -> int:
        """More candidates than a search should need, where the number of probes is chosen."""
        return min(MOST_RESCORED * self.width, len(self))

    def found(self, queries: Floats, width: int, beside: Floats | None = None) -> tuple[Floats, Rows]:
        """As of `FaissStore`; where all vectors would be scored, their codes choose nothing."""
        if min(len(queries), width, len(self)) and self._candidates(width) >= len(self):
            found: tuple[Floats, Rows] = self.vectors.search(queries, min(width, len(self)))
            return found
        # Of a zero, whose products are all alike, FAISS finds nothing by codes.
        lengths = np.sqrt(np.einsum("bd,bd->b", queries, queries, dtype=np.float64))[:, None]
        directions = np.divide(queries, lengths, out=np.ones(queries.shape), where=lengths > 0)
        scores, positions = super().found(directions.astype(np.float32), width)
        return np.multiply(scores, lengths.astype(np.float32), out=scores, where=positions >= 0), positions

    def _candidates(self, width: int) -> int:
        return max(width, self.rescored * math.ceil(width / self.width))

    def _parameters(self, effort: int, width: int, candidates: int) -> Any:
        lists = probing(self.codes, effort)
        return faiss.IndexRefineSearchParameters(k_factor=candidates / width, base_index_params=lists)

    def vectors_at(self, positions: Rows) -> Floats:
        """The vectors [m, d], as float16 keeps them."""
        found: Floats = self.vectors.reconstruct_batch(positions)
        return found

    def save(self, folder: Path) -> None:
        """Writes faiss.index, the codes, and vectors.faiss."""
        faiss.write_index(self.codes, str(folder / self.FILE))
        faiss.write_index(self.vectors, str(folder / self.VECTORS))


def build_codes(vectors: Floats, seed: int = 0, progress: bool = False) -> CodeStore:
    """A store of `vectors` [n, d], n ≥ 1, with the least effort."""
    num, width = vectors.shape
    with shown("building an ivf index", num, silent=not progress, passing=True) as advance:
        codes = _trained_codes(vectors, seed)
        kept = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for block in blocks(vectors):
            codes.add(block)
            kept.add(block)
            advance(len(block))
    return CodeStore(codes, kept)


def _trained_codes(vectors: Floats, seed: int) -> Any:
    centres, width = centres_of(vectors, seed), vectors.shape[1]
    index = faiss.IndexIVFPQFastScan(centres, width, centres.ntotal, width, 4, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = True
    index.pq.cp.min_points_per_centroid = 1
    index.train(np.concatenate([sample(vectors, TRAINING, seed), _scattered(width, seed)]))
    return index


def _scattered(width: int, seed: int) -> Floats:
    """As many random unit vectors as a code has levels: if all were one, FAISS would find nothing."""
    vectors: Floats = np.random.default_rng(seed).standard_normal((LEVELS, width), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
