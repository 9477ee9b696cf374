"""Dot products of sparse vectors: a mention's words or n-grams with those of every entity."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from dim.search.scores import SLICE, Scores

_ROWS = 32  # mentions whose products are sparse at once: as a sparse matrix, scores take up to twice their room


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
        """Sparse matrix products, made dense."""
        return self._products(self.queries, entities)

    def of_some(self, entities: slice, mentions: Tensor) -> Tensor:
        """Of these mentions alone."""
        return self._products(self.queries[mentions.cpu().numpy()], entities)

    def _products(self, queries: sp.csr_matrix, entities: slice) -> Tensor:
        postings = self.kb.of(entities)
        scores = np.empty((queries.shape[0], postings.shape[1]), dtype=np.float32)
        for start in range(0, len(scores), _ROWS):
            part = slice(start, start + _ROWS)
            (queries[part] @ postings).toarray(out=scores[part])
        return torch.from_numpy(scores).to(self.device)
