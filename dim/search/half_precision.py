"""Approximate inner products of a few queries with all vectors, computed in half precision, with an error bound."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dim.core.arrays import Floats

ROUNDING = 2.0**-9  # error of an inner product of unit vectors: both are rounded, and the sum, by 2**-11 each
CHECKED = 32  # vectors whose products are compared with float32, to see that this processor keeps to that


class HalfPrecision:
    """A matrix of vectors [n, d] for searches with a few queries, whose time is the time to read the matrix.

    Args:
        vectors: [n, d], float32, of length 1 at most.
    """

    def __init__(self, vectors: Floats) -> None:
        self._vectors = torch.from_numpy(vectors).half()
        checked = vectors[:CHECKED]
        if (np.abs(self._of(checked)[:, :CHECKED].numpy() - checked @ checked.T) > ROUNDING).any():
            self._vectors = torch.from_numpy(vectors)  # this processor sums up in half precision, too

    def products(self, queries: Floats) -> tuple[Tensor, Floats]:
        """Inner products [b, n] of queries [b, d] with all vectors, and their largest error, a query [b]."""
        lengths = np.sqrt(np.einsum("bd,bd->b", queries, queries)).clip(min=np.finfo(np.float32).tiny)
        return self._of(queries / lengths[:, None]) * torch.from_numpy(lengths)[:, None], ROUNDING * lengths

    def _of(self, directions: Floats) -> Tensor:
        columns = torch.from_numpy(directions).to(self._vectors.dtype)
        return torch.stack([torch.mv(self._vectors, direction) for direction in columns]).float()
