"""The entities that compete for a question, with what their first scores are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Candidates:
    """What competes for a question.

    Attributes:
        rows: [c] int64, rows of the KB, ascending.
        vectors: [c] float32, cosines of the question's and the entities' vectors; 0 for one without a vector.
        names: [c] float32, cosines of the character n-grams of the mention and the entity's nearest name.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    names: NDArray[np.float32]
