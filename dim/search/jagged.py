"""Lists of numbers, one after another in one array, which may stay on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Rows


@dataclass(frozen=True)
class Jagged:
    """Lists of numbers.

    Attributes:
        starts: [n + 1], where each begins in `values`.
        values: Of all of them.
    """

    starts: NDArray[Any]
    values: NDArray[Any]

    @classmethod
    def of_sizes(cls, sizes: Rows, values: NDArray[Any]) -> Jagged:
        """Lists of these lengths [n]."""
        return cls(np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]), values)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> Rows:
        """[n], how long each is."""
        return np.diff(self.starts).astype(np.int64, copy=False)

    def sizes_of(self, rows: Rows) -> Rows:
        """[m], how long each of lists [m] is."""
        return np.asarray(self.starts[rows + 1] - self.starts[rows], np.int64)

    def places(self, rows: Rows) -> tuple[Rows, Rows]:
        """Where in `values` the numbers of lists [m] stand, list after list, and how many each has."""
        sizes = self.sizes_of(rows)
        return spans(self.starts[rows], sizes), sizes

    def of(self, rows: Rows) -> tuple[NDArray[Any], Rows]:
        """The numbers of lists [m], one after another, and how many each has.

        Example:
            >>> Jagged(np.array([0, 2, 2, 5]), np.arange(10, 15)).of(np.array([2, 0]))
            (array([12, 13, 14, 10, 11]), array([3, 2]))
        """
        places, sizes = self.places(rows)
        return self.values[places], sizes

    def slices(self, rows: Rows) -> list[slice]:
        """Where each of lists [m], of which there are few, stands in `values`."""
        return [
            slice(start, stop)
            for start, stop in zip(self.starts[rows].tolist(), self.starts[rows + 1].tolist(), strict=True)
        ]

    def joined(self, others: Jagged, moved: int) -> Jagged:
        """With further lists behind, whose numbers are raised by so much."""
        values = np.concatenate([self.values, others.values + others.values.dtype.type(moved)])
        return Jagged(np.concatenate([self.starts, others.starts[1:] + self.starts[-1]]), values)

    def check(self, num_lists: int, num_values: int) -> None:
        """Raises ValueError where these are not so many lists of numbers from 0 to less than `num_values`."""
        starts = self.starts
        if len(starts) != num_lists + 1 or starts[0] != 0 or starts[-1] != len(self.values):
            raise ValueError("lists of another number")
        if (starts[1:] < starts[:-1]).any():
            raise ValueError("lists that do not follow one another")
        if len(self.values) and not 0 <= self.values.min() <= self.values.max() < num_values:
            raise ValueError("numbers that are not there")


def spans(firsts: Rows, sizes: Rows) -> Rows:
    """Numbers from each first one on, so many each, one after another.

    Example:
        >>> spans(np.array([5, 1]), np.array([2, 3])).tolist()
        [5, 6, 1, 2, 3]
    """
    found: Rows = np.arange(sizes.sum()) + np.repeat(firsts - (np.cumsum(sizes) - sizes), sizes)
    return found


def concatenated(parts: Sequence[NDArray[Any]], like: NDArray[Any]) -> NDArray[Any]:
    """Arrays of one type one after another; none of them gives an empty one."""
    return np.concatenate([like[:0], *parts])
