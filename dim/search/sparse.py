"""Dot products of sparse vectors: a mention's words or n-grams with those of every entity."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from dim.search.scores import SLICE, Scores


def sparse_products(queries: sp.csr_matrix, postings: sp.csr_matrix) -> NDArray[np.float32]:
    """Dot products [b, n] of queries [b, num_columns] with the vectors of postings [num_columns, n], both float32.

    A query reads the postings of its own columns alone. A column that stands twice in it counts twice.

    Example:
        >>> sparse_products(sp.csr_matrix([[0, 2.0]], dtype=np.float32), sp.csr_matrix(np.eye(2, dtype=np.float32)))
        array([[0., 2.]], dtype=float32)
    """
    products = np.empty((queries.shape[0], postings.shape[1]), dtype=np.float32)
    for row, start, stop in zip(products, queries.indptr, queries.indptr[1:], strict=False):
        row[:] = postings[queries.indices[start:stop]].T @ queries.data[start:stop]
    return products


class SparseKB:
    """The vectors of a KB by their columns, cut into slices of entities.

    Args:
        postings: [num_columns, num_entities], float32: for each column the entities that have it.
    """

    def __init__(self, postings: sp.csr_matrix | sp.csc_matrix) -> None:
        self.num_entities = postings.shape[1]
        starts = range(0, max(1, self.num_entities), SLICE)
        # A CSC matrix is cut without a search.
        by_entity = postings.tocsc() if len(starts) > 1 else postings
        self._width = SLICE
        self._parts = [by_entity[:, start : start + SLICE].tocsr() for start in starts]

    @cached_property
    def vectors(self) -> sp.csr_matrix:
        """The vectors [num_entities, num_columns]; a second copy of them all, from the first call on."""
        return sp.csr_matrix(sp.hstack(self._parts, format="csc").T)

    def of(self, entities: slice) -> sp.csr_matrix:
        """The postings [num_columns, stop - start] of a slice of the KB."""
        first, last = entities.start // self._width, max(entities.start, entities.stop - 1) // self._width
        parts = self._parts[first : last + 1]
        cut = slice(entities.start - first * self._width, entities.stop - first * self._width)
        found = parts[0] if len(parts) == 1 else sp.hstack(parts, format="csr")
        return found if (cut.start, cut.stop) == (0, found.shape[1]) else found[:, cut]


class SparseProducts(Scores):
    """Dot products of sparse vectors. No score depends on which others are computed with it.

    Args:
        queries: [B, num_columns], float32; a column that stands twice in a row counts twice.
        kb: The vectors of the KB.
        device: Where the scores go.
    """

    def __init__(self, queries: sp.csr_matrix, kb: SparseKB, device: torch.device | str = "cpu") -> None:
        super().__init__(queries.shape[0], kb.num_entities)
        self.queries, self.kb, self.device = queries, kb, device

    def of(self, entities: slice) -> Tensor:
        """As of `sparse_products`."""
        return self._products(self.queries, entities)

    def of_some(self, entities: slice, mentions: Tensor) -> Tensor:
        """Of these mentions alone."""
        return self._products(self.queries[mentions.cpu().numpy()], entities)

    def at(self, entities: Tensor) -> Tensor:
        """Of the pairs alone."""
        found = [
            sparse_products(self.queries[place], self.kb.vectors[rows].T.tocsr())
            for place, rows in enumerate(entities.cpu().numpy())
        ]
        return torch.from_numpy(np.concatenate(found)).to(entities.device) if found else torch.empty(entities.shape)

    def _products(self, queries: sp.csr_matrix, entities: slice) -> Tensor:
        return torch.from_numpy(sparse_products(queries, self.kb.of(entities))).to(self.device)
