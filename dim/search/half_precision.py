"""Approximate inner products of a few queries with all vectors, computed in half precision, with an error bound."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]

RARE, SAMPLED = 0.1, 2000  # share of vectors that set a rare column, and how many are looked at for it
ROUNDING = 2.0**-9  # error of an inner product of unit vectors: both are rounded, and the sum, by 2**-11 each
CHECKED = 32  # vectors whose products are compared with float32, to see that this processor keeps to that


class HalfPrecision:
    """A matrix of vectors [n, d] for searches with a few queries, whose time is the time to read the matrix.

    It is stored in two parts, so that less is read. Columns that are zero in most vectors (the n-grams of names) are
    sparse, and only those columns are read in which a query is not zero. All others are float16.

    Args:
        vectors: [n, d], float32, of length 1.
    """

    def __init__(self, vectors: Floats) -> None:
        sample = vectors[:SAMPLED]
        is_rare = (sample != 0).mean(axis=0) < RARE if len(sample) else np.zeros(vectors.shape[1], dtype=bool)
        self._is_rare = is_rare if is_rare.mean() > 0.5 else np.zeros_like(is_rare)
        others = np.ascontiguousarray(vectors[:, ~self._is_rare])
        self._others = torch.from_numpy(others).half()
        rare = sp.csc_matrix(vectors[:, self._is_rare])
        self._starts, self._values = rare.indptr, rare.data
        self._rows = rare.indices.astype(np.intp)  # else NumPy converts them in every search
        sums = self._of_others(others[:CHECKED])[:, :CHECKED].numpy()
        if (np.abs(sums - others[:CHECKED] @ others[:CHECKED].T) > ROUNDING).any():
            self._others = torch.from_numpy(others)  # this processor sums up in half precision, too

    def products(self, queries: Floats) -> tuple[Tensor, Floats]:
        """Inner products [b, n] of queries [b, d] with all vectors, and their largest error, a query [b]."""
        lengths = np.sqrt(np.einsum("bd,bd->b", queries, queries)).clip(min=np.finfo(np.float32).tiny)
        directions = queries / lengths[:, None]
        found = self._of_others(directions[:, ~self._is_rare])
        for scores, weights in zip(found.numpy(), directions[:, self._is_rare], strict=True):
            columns = np.flatnonzero(weights)
            parts = [slice(self._starts[column], self._starts[column + 1]) for column in columns]
            if parts:
                rows = np.concatenate([self._rows[part] for part in parts])
                shares = [weights[column] * self._values[part] for column, part in zip(columns, parts, strict=True)]
                scores += np.bincount(rows, np.concatenate(shares), len(scores))
        return found * torch.from_numpy(lengths)[:, None], ROUNDING * lengths

    def _of_others(self, directions: Floats) -> Tensor:
        # Contiguous, which NumPy's choice of columns is not: torch.mv then takes 40 times as long.
        columns = torch.from_numpy(np.ascontiguousarray(directions)).to(self._others.dtype)
        return torch.stack([torch.mv(self._others, direction) for direction in columns]).float()
