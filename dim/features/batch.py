"""What a method reads of mentions and entities, whether they stand in a dataset or were given by a caller."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from dim.core.mapped import dropped

CHUNK = 4096


class FieldVectors(NamedTuple):
    """The vectors of one field of n owners, of which each has up to t.

    Attributes:
        vectors: [n, t, width] float32, zeros where there is none.
        mask: [n, t], True where there is one.
    """

    vectors: Tensor
    mask: Tensor

    def mean(self) -> tuple[Tensor, Tensor]:
        """The mean of each owner's vectors [n, width], zeros where it has none, and whether it has one [n].

        Example:
            >>> field = FieldVectors(torch.tensor([[[1.0], [4.0]], [[3.0], [0.0]]]), torch.tensor([[1, 1], [1, 0]]) > 0)
            >>> field.mean()[0].tolist()
            [[2.5], [3.0]]
        """
        if self.vectors.shape[1] == 1:
            return self.vectors[:, 0], self.mask[:, 0]
        count = self.mask.sum(1)
        return self.vectors.sum(1) / count.clamp_min(1)[:, None], count > 0

    def averaged(self) -> FieldVectors:
        """The same with one vector an owner, their mean."""
        vectors, mask = self.mean()
        return FieldVectors(vectors[:, None], mask[:, None])

    def summed(self) -> FieldVectors:
        """The same with one vector an owner, their sum."""
        return FieldVectors(self.vectors.sum(1, keepdim=True), self.mask.any(1, keepdim=True))

    def to(self, device: torch.device) -> FieldVectors:
        """The same on a device."""
        return FieldVectors(self.vectors.to(device), self.mask.to(device))

    @classmethod
    def nothing(cls, size: int, width: int) -> FieldVectors:
        """A field that none of `size` owners has."""
        return cls(torch.zeros(size, 1, width), torch.zeros(size, 1, dtype=torch.bool))


@dataclass(frozen=True)
class Batch:
    """n mentions, or n entities.

    Attributes:
        fields: Of mentions `mention`, `context`, `caption`, `image`, `spelling`; of entities `name`, `text`, `image`,
            `spelling`: as many as there are and are wanted.
    """

    fields: Mapping[str, FieldVectors]

    @classmethod
    def zeros(cls, widths: Mapping[str, int]) -> Batch:
        """One owner, which has a vector of zeros for each field of these widths."""
        mask = torch.ones(1, 1, dtype=torch.bool)
        return cls({name: FieldVectors(torch.zeros(1, 1, width), mask) for name, width in widths.items()})

    def filled(self, widths: Mapping[str, int], size: int, device: torch.device) -> Batch:
        """All fields of these widths, on a device; those that are not here are missing.

        Args:
            widths: Field → width.
            size: n, which a batch without fields does not tell.
            device: Where they shall be.
        """
        found = {name: self.fields.get(name) or FieldVectors.nothing(size, width) for name, width in widths.items()}
        return Batch({name: values.to(device) for name, values in found.items()})


@dataclass
class FeatureTable:
    """The features of one field: those of each different input once, and whose they are.

    Attributes:
        matrix: [num_vectors, width], float32 or float16. On the device where it fits, else a view of the mapped cache.
        rows: [n] int64, the input of each mention or entity, on the same device; -1 where the field is missing.
        starts: [num_inputs] int64, where the vectors of each input start in `matrix`; None: each has one.
        lengths: [num_inputs] int64, how many it has.
        mapped: The array of the mapped cache that `matrix` is a view of; None: it is in memory.
    """

    matrix: Tensor
    rows: Tensor
    starts: Tensor | None = None
    lengths: Tensor | None = None
    mapped: NDArray[np.float32] | NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        self._is_complete = bool((self.rows >= 0).all())

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return self.matrix.shape[1]

    @property
    def has_several(self) -> bool:
        """Whether an input may have several vectors."""
        return self.lengths is not None

    @property
    def most(self) -> int:
        """Vectors of one owner, at most."""
        return 1 if self.lengths is None else max(1, int(self.lengths.max())) if len(self.lengths) else 1

    @property
    def nbytes(self) -> int:
        """Of the matrix."""
        return self.matrix.nbytes

    def to(self, device: torch.device) -> None:
        """Moves it. A copy even where it is there already: rows of a mapped file are slow to gather."""
        self.matrix, self.rows, self.mapped = self.matrix.clone().to(device), self.rows.to(device), None
        if self.starts is not None and self.lengths is not None:
            self.starts, self.lengths = self.starts.to(device), self.lengths.to(device)

    def take(self, owners: Tensor) -> FieldVectors:
        """The vectors of owners [b], on their device."""
        rows = self.rows.index_select(0, owners.to(self.rows.device))
        if self.starts is not None and self.lengths is not None:
            return self._ragged(rows, self.starts, self.lengths, owners.device)
        if self._is_complete:
            vectors = self._gathered(rows, owners.device)
            return FieldVectors(vectors[:, None], torch.ones(len(owners), 1, dtype=torch.bool, device=owners.device))
        present = (rows >= 0).to(owners.device)
        vectors = self._gathered(rows.clamp_min(0), owners.device).masked_fill_(~present[:, None], 0.0)
        return FieldVectors(vectors[:, None], present[:, None])

    def mean(self) -> Tensor:
        """The mean [1, width] of all inputs."""
        return self.one_each().matrix.mean(0, keepdim=True)

    def column_shares(self) -> Tensor:
        """Of each column [width], float32, the share of vectors in which it is not zero."""
        return self.matrix.ne(0).float().mean(0)

    def one_each(self) -> FeatureTable:
        """The same with one vector of each input: their mean."""
        if self.starts is None or self.lengths is None:
            return self
        inputs = torch.arange(len(self.lengths), device=self.rows.device)
        split = passed([self], inputs, CHUNK)
        means = (self._ragged(part, self.starts, self.lengths, part.device).mean()[0] for part in split)
        return FeatureTable(stacked(means, len(inputs), self.matrix[:0].float()), self.rows)

    def _ragged(self, rows: Tensor, starts: Tensor, lengths: Tensor, device: torch.device) -> FieldVectors:
        counts = lengths[rows.clamp_min(0)] * (rows >= 0)
        steps = torch.arange(max(1, int(counts.max())) if len(counts) else 1, device=rows.device)
        mask = steps < counts[:, None]  # [b, t]
        places = (starts[rows.clamp_min(0)][:, None] + steps).masked_fill(~mask, 0)
        vectors = self._gathered(places.flatten(), device).unflatten(0, places.shape)
        mask = mask.to(device)
        return FieldVectors(vectors.masked_fill_(~mask[:, :, None], 0.0), mask)

    def _gathered(self, places: Tensor, device: torch.device) -> Tensor:
        return self.matrix.index_select(0, places).to(device).float()


class SparseTable(FeatureTable):
    """A field whose vectors are zeros for the most part: only those of a batch are ever dense.

    Args:
        vectors: [num_inputs, width], num_inputs ≥ 1.
        rows: [n] int64, the input of each mention or entity; -1 where the field is missing.
        dtype: Of what is kept.
    """

    def __init__(self, vectors: sp.csr_matrix, rows: Tensor, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(torch.empty(0, vectors.shape[1]), rows)
        self.first = torch.from_numpy(vectors.indptr.astype(np.int64))
        self.columns, self.values = torch.from_numpy(vectors.indices), torch.from_numpy(vectors.data).to(dtype)

    @property
    def nbytes(self) -> int:
        """Of the vectors."""
        return self.first.nbytes + self.columns.nbytes + self.values.nbytes

    def to(self, device: torch.device) -> None:
        """Moves it."""
        self.first, self.columns, self.values, self.rows = (
            part.to(device) for part in (self.first, self.columns, self.values, self.rows)
        )

    def take(self, owners: Tensor) -> FieldVectors:
        """The vectors of owners [b], on their device."""
        rows = self.rows.index_select(0, owners.to(self.rows.device))
        present, inputs = rows >= 0, rows.clamp_min(0)
        counts = (self.first[inputs + 1] - self.first[inputs]) * present
        owner = torch.repeat_interleave(counts)  # [n] of each value
        steps = torch.arange(len(owner), device=rows.device) - (counts.cumsum(0) - counts)[owner]
        places = self.first[inputs[owner]] + steps
        vectors = torch.zeros(len(rows), 1, self.width, device=rows.device)
        vectors[owner, 0, self.columns[places].long()] = self.values[places].float()
        return FieldVectors(vectors.to(owners.device), present[:, None].to(owners.device))

    def mean(self) -> Tensor:
        """The mean [1, width] of all inputs."""
        total = torch.zeros(self.width).index_add_(0, self.columns.cpu(), self.values.cpu().float())
        return total[None] / (len(self.first) - 1)

    def column_shares(self) -> Tensor:
        """Of each column [width], float32, the share of vectors in which it is not zero."""
        return torch.bincount(self.columns, minlength=self.width).float() / (len(self.first) - 1)


def passed(tables: Collection[FeatureTable], owners: Tensor, most: int) -> Iterator[Tensor]:
    """Owners [n] part by part, for who takes all of them: `most` at once, or fewer where they have many vectors.

    What a part has read of mapped files counts to this process no more once the next part is asked for.
    """
    for part in owners.split(max(16, most // max((table.most for table in tables), default=1))):
        yield part
        for table in tables:
            if table.mapped is not None:
                dropped(table.mapped)


def stacked(parts: Iterable[Tensor], count: int, otherwise: Tensor) -> Tensor:
    """Parts [b, …] one below the other: [count, …], which `torch.cat` would have in memory twice.

    Args:
        parts: Of `count` rows together.
        count: At least 0.
        otherwise: What nothing stacked is.

    Example:
        >>> stacked(iter([torch.ones(1, 2), torch.zeros(2, 2)]), 3, torch.empty(0, 2)).tolist()
        [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    """
    whole, start = otherwise, 0
    for part in parts:
        if not start:
            whole = part.new_empty(count, *part.shape[1:])
        whole[start : start + len(part)] = part
        start += len(part)
    return whole


def batch_of(tables: Mapping[str, FeatureTable], owners: Tensor, names: Iterable[str] | None = None) -> Batch:
    """The fields of owners [b].

    Args:
        tables: Field → its features.
        owners: Rows of mentions, or of entities.
        names: The fields that are wanted; None: all.
    """
    wanted = tables if names is None else names
    return Batch({name: tables[name].take(owners) for name in wanted})
