"""How a method says what competes for mentions, and how much speaks for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Rows


class Scored(Protocol):
    """The scores of some mentions, or questions, with the KB."""

    def nearest(self, count: int) -> Sequence[Rows]:
        """For each the rows of the best `count`, best first; fewer where there are no more."""

    def at(self, rows: Sequence[Rows]) -> Sequence[NDArray[np.float32]]:
        """For each its scores [c] with rows [c] of its own."""
