"""Arrays that grow at their end: what is known of a KB's rows, while entities are added."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Number = TypeVar("Number", bound=np.generic)


class Column(Generic[Number]):
    """An array [n] that grows at its end, in place as long as it has room: it holds up to an eighth more.

    Args:
        dtype: Of its values.

    Example:
        >>> column = Column[np.int64](np.int64)
        >>> column.append(np.array([3, 4]))
        >>> column.lengthen(4)
        >>> column.values.tolist()
        [3, 4, 0, 0]
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self._held: NDArray[Number] = np.zeros(0, dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def values(self) -> NDArray[Number]:
        """The array itself, not a copy; it is another one once the column has grown."""
        return self._held[: self._size]

    def hold(self, values: NDArray[Number]) -> None:
        """Takes an array [n] as its own, such as a mapped one, in the place of what it had."""
        self._held, self._size = values, len(values)

    def append(self, values: NDArray[Number]) -> None:
        """Puts values [m] at the end."""
        start = self._size
        self.lengthen(start + len(values))
        self._held[start : self._size] = values

    def lengthen(self, size: int) -> None:
        """Fills up with zeros to a size; a column that is as long already stays as it is."""
        if size > len(self._held):
            room = size if not len(self._held) else size + size // 8
            held = np.zeros(room, self._held.dtype)
            held[: self._size] = self.values
            self._held = held
        self._size = max(self._size, size)
