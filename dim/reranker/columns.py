"""Arrays that grow at their end: what is known of a KB's rows, while entities are added."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Number = TypeVar("Number", bound=np.generic)


class Column(Generic[Number]):
    """An array [n] that is read and written by places, and grows at its end.

    What it was given whole, such as a mapped file, stays where it is; what comes later stands behind it, in an array
    that holds up to an eighth more than it has.

    Example:
        >>> column = Column[np.int64](np.int64)
        >>> column.hold(np.array([3, 4]))
        >>> column.lengthen(4)
        >>> column[[0, 3]] += 5
        >>> column.values.tolist()
        [8, 4, 0, 5]
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self._given: NDArray[Number] = np.zeros(0, dtype)
        self._later: NDArray[Number] = np.zeros(0, dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, places: ArrayLike) -> Any:
        """A copy of the values [m] at places [m], or the one at a place, counted from the front."""
        places, first = np.asarray(places), len(self._given)
        if not first or self._size == first:  # all of it came at once, as it mostly did
            return self._given[places] if first else self._grown[places]
        later = places >= first
        found = np.empty(places.shape, self.dtype)
        found[~later], found[later] = self._given[places[~later]], self._grown[places[later] - first]
        return found

    def __setitem__(self, places: ArrayLike, values: Any) -> None:
        places, first = np.asarray(places), len(self._given)
        later, new = places >= first, np.broadcast_to(values, places.shape)
        self._given[places[~later]], self._grown[places[later] - first] = new[~later], new[later]

    @property
    def _grown(self) -> NDArray[Number]:
        return self._later[: self._size - len(self._given)]

    @property
    def dtype(self) -> np.dtype[Number]:
        """Of its values."""
        return self._given.dtype

    @property
    def values(self) -> NDArray[Number]:
        """All values [n], to be read: where some came later than others, a copy."""
        if self._size == len(self._given):
            return self._given
        return np.concatenate([self._given, self._grown]) if len(self._given) else self._grown

    def hold(self, values: NDArray[Number]) -> None:
        """Takes an array [n] as its own, such as a mapped one, in the place of what it had."""
        self._given, self._later, self._size = values, values[:0], len(values)

    def append(self, values: NDArray[Number]) -> None:
        """Puts values [m] at the end."""
        start = self._size
        self.lengthen(start + len(values))
        self._grown[start - len(self._given) :] = values

    def lengthen(self, size: int) -> None:
        """Fills up with zeros to a size; a column that is as long already stays as it is."""
        grown = self._grown
        wanted = size - len(self._given)
        if wanted > len(self._later):
            self._later = np.zeros(wanted if not len(grown) else wanted + wanted // 8, self.dtype)
            self._later[: len(grown)] = grown
        self._size = max(self._size, size)
