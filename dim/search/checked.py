"""What a vector index is given, checked once, at its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dim.core.arrays import Floats, Rows
from dim.core.excerpts import few_of
from dim.errors import DataError

LONGEST = 1 + 1e-2  # of unit vectors that were kept as float16


def checked_queries(queries: ArrayLike, width: int) -> Floats:
    """The queries [b, width]. Raises DataError where they are of another width, or not finite."""
    values = np.ascontiguousarray(queries, dtype=np.float32)
    if values.ndim != 2 or values.shape[1] != width:
        raise DataError(f"vectors [n, {width}]", f"an array {list(values.shape)}", "Use the encoder of this index.")
    if not np.isfinite(values).all():
        raise DataError("finite vectors", "NaN or infinity", "Look at what made them.")
    return values


def checked_vectors(vectors: ArrayLike, width: int | None = None) -> Floats:
    """The vectors [n, width], or of any width. Raises DataError as `checked_queries`, or where one is too long."""
    values = np.ascontiguousarray(vectors, dtype=np.float32)
    values = checked_queries(values, width or (values.shape[1] if values.ndim == 2 else 0))
    lengths = np.sqrt(np.einsum("nd,nd->n", values, values))
    wrong = lengths > LONGEST
    if wrong.any():
        row = int(wrong.argmax())
        found = f"{int(wrong.sum()):,} others, the first in row {row} of length {lengths[row]:.3g}"
        raise DataError("vectors of length 1 at most", found, "Divide each by its length.")
    return values


def checked_ids(ids: ArrayLike, count: int) -> Rows:
    """The ids [count]. Raises DataError where they are no ids, negative, or not unique."""
    array = np.asarray(ids)
    if array.shape != (count,) or (array.size and array.dtype.kind not in "iu"):
        raise DataError(f"{count:,} whole numbers as ids", f"{array.dtype} {list(array.shape)}", "Give one a vector.")
    rows = array.astype(np.int64)
    unique, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise DataError("each id once", f"{some(unique[counts > 1])} more often", "Leave the repeated ones out.")
    if rows.size and unique[0] < 0:
        raise DataError("ids from 0 up", f"{some(unique[unique < 0])}", "-1 means that there is no answer.")
    return rows


def refuse_unknown(ids: Rows) -> None:
    """Raises DataError where there are any: the index lacks them."""
    if ids.size:
        raise DataError("ids of the index", f"{some(np.unique(ids))} unknown to it", "Look at its ids.")


def some(ids: Rows) -> str:
    """The first of the ids, and how many there are."""
    return few_of(ids.tolist(), 5)
