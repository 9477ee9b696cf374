"""The sparse columns of a KB's vectors, such as n-grams of names, beside a vector index of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from dim.core.arrays import Floats, Rows
from dim.core.folder_files import read_array, write_arrays
from dim.core.mapped import dropped
from dim.core.sealed import REMEDY, Manifest, open_sealed, sealed_folder
from dim.errors import DataError
from dim.search.sparse import sparse_products

FORMAT_VERSION = 1
CONTENT = "sparse rows"
MOST_COLUMNS = 2**24
FEW = 2**18  # values of all rows: with fewer, one product of matrices is faster than one a query


class Facts(Manifest):
    """What the manifest says."""

    width: int


class SparseRows:
    """Sparse vectors by the row of their entity, compared with queries by inner product; rows come and go.

    Args:
        postings: [width, num_rows], float32: for each column the rows that have it. A row that no column has has no
            vector.
    """

    def __init__(self, postings: sp.csr_matrix) -> None:
        self._postings, self._added = postings, _empty(*postings.shape)

    @classmethod
    def empty(cls, width: int, num_rows: int) -> Self:
        """Rows without a vector."""
        return cls(_empty(width, num_rows))

    @property
    def width(self) -> int:
        """Columns of a vector."""
        return int(self._postings.shape[0])

    @property
    def num_rows(self) -> int:
        """More than every row."""
        return int(self._postings.shape[1])

    def parted(self, vectors: Floats) -> tuple[Floats, sp.csr_matrix]:
        """The columns of vectors [n, width + D] that are an index's, [n, D], and those that are compared here."""
        return np.ascontiguousarray(vectors[:, self.width :]), sp.csr_matrix(vectors[:, : self.width])

    def products(self, queries: sp.csr_matrix) -> Floats:
        """Inner products [b, num_rows] of queries [b, width] with all rows; each depends on its two vectors alone."""
        products = _products(queries, self._postings)
        return products + _products(queries, self._added) if self._added.nnz else products

    def at(self, query: sp.csr_matrix, rows: Rows) -> Floats:
        """Inner products [m] of one query [1, width] with rows [m]: those of `products`, without the other rows'."""
        products = np.zeros(len(rows), np.float32)
        for part in (self._postings, self._added) if self._added.nnz else (self._postings,):
            products += _products_at(query, part, rows.astype(part.indices.dtype))
        return products

    def add(self, rows: ArrayLike, vectors: sp.csr_matrix) -> None:
        """Takes vectors [m, width] of rows [m] that have none; many in one call cost less than one at a time."""
        places = np.asarray(rows, dtype=np.int64)
        found = vectors.tocoo()
        num_rows = max(self.num_rows, int(places.max(initial=-1)) + 1)
        self._postings = _sized(self._postings, num_rows)
        new = sp.csr_matrix((found.data, (found.col, places[found.row])), (self.width, num_rows))
        self._added = sp.csr_matrix(_sized(self._added, num_rows) + new)
        if self._added.nnz > self._postings.nnz // 8:  # else all would be copied for each row that comes
            self._postings, self._added = self._all(), _empty(self.width, num_rows)

    def remove(self, rows: ArrayLike) -> None:
        """Leaves the vectors of these rows [m] out from now on; some may have none."""
        for part in (self._postings, self._added):
            part.data[np.isin(part.indices, rows)] = 0
            part.eliminate_zeros()

    def _all(self) -> sp.csr_matrix:
        return sp.csr_matrix(self._postings + self._added)

    def save(self, folder: Path) -> None:
        """Writes them; a process that is killed meanwhile leaves what was there before."""
        postings = self._all()
        with sealed_folder(folder, CONTENT, FORMAT_VERSION, {"width": self.width}) as place:
            write_arrays(place, {"starts": postings.indptr, "rows": postings.indices, "values": postings.data})

    @classmethod
    def load(cls, folder: Path, num_rows: int) -> Self:
        """Those that were saved, on their files: what changes is copied, a page at a time.

        Args:
            folder: Of `save`.
            num_rows: More than every row.

        Raises:
            DataError: There are none, damaged ones, or ones of another format or of more rows.
        """
        manifest, what = open_sealed(folder, CONTENT, FORMAT_VERSION, kind=Facts), f"{CONTENT} in {folder}"
        starts, rows, values = (
            read_array(folder / f"{name}.npy", what, REMEDY, kind, 1, "c")
            for name, kind in (("starts", "i"), ("rows", "i"), ("values", "f"))
        )
        try:
            if not 0 < manifest["width"] <= MOST_COLUMNS or not np.isfinite(values).all():
                raise ValueError("columns or values that none have")
            shape = manifest["width"], num_rows
            postings = sp.csr_matrix((values.astype(np.float32, copy=False), rows, starts), shape=shape)
            postings.check_format(full_check=True)  # SciPy is told these places without looking
            if not postings.has_sorted_indices:
                raise ValueError("rows in another order")
        except (ValueError, OverflowError) as error:
            raise DataError(f"{what} of {num_rows:,} rows", f"damaged arrays ({error})", REMEDY) from error
        for array in (rows, values):
            dropped(array)
        return cls(postings)


def _products(queries: sp.csr_matrix, postings: sp.csr_matrix) -> Floats:
    """Equal to the last digit either way, as the columns of queries ascend: zeros add nothing."""
    if postings.nnz >= FEW:
        return sparse_products(queries, postings)
    products: Floats = queries.toarray() @ postings
    return products


def _products_at(query: sp.csr_matrix, postings: sp.csr_matrix, rows: NDArray[np.integer]) -> Floats:
    """Those of rows [m] alone, column by column as SciPy adds them up."""
    products = np.zeros(len(rows), np.float32)
    for column, value in zip(query.indices.tolist(), query.data, strict=True):
        own = slice(postings.indptr[column], postings.indptr[column + 1])
        there, values = postings.indices[own], postings.data[own]
        if len(there):
            places = np.searchsorted(there, rows)
            places[places == len(there)] = 0
            has_it = np.flatnonzero(there[places] == rows)
            products[has_it] += value * values[places[has_it]]
    return products


def _empty(width: int, num_rows: int) -> sp.csr_matrix:
    return sp.csr_matrix(
        (np.empty(0, np.float32), np.empty(0, np.int32), np.zeros(width + 1, np.int32)), (width, num_rows)
    )


def _sized(postings: sp.csr_matrix, num_rows: int) -> sp.csr_matrix:
    return sp.csr_matrix((postings.data, postings.indices, postings.indptr), (postings.shape[0], num_rows))
