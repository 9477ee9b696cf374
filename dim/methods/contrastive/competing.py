"""The entities that compete for a question, with what their first scores are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dim.display.log import log
from dim.linker.answer import Question

LOG = log("dim")


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


def told_few(questions: Sequence[Question], found: Sequence[Candidates], wanted: int) -> bool:
    """Warns where a question gets fewer answers than are wanted, though it does not name its candidates itself.

    A ranker orders as many candidates as it was trained with: more of them would change what it says of the first.
    """
    counts = [len(part.rows) for asked, part in zip(questions, found, strict=True) if asked.candidates is None]
    few = min(counts, default=wanted)
    if few < wanted:
        LOG.warning(
            "top_k is %d, and a question has %d candidates: the ranker orders as many as it was trained with; "
            "for more of them: dim rank --num_candidates N",
            wanted,
            few,
        )
    return few < wanted
