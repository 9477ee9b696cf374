"""From names with likelihoods to ranked entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.data.dataset import NIL
from dim.methods.generative.decoding import Written
from dim.training.tie_break import Scorer

NOBODY = np.array([-1])  #: The owner of a text that is no name of the KB.


class Answers(NamedTuple):
    """The entities of one mention, best first.

    Attributes:
        rows: [k] int64, KB rows or NIL_ROW, each once; -1 in the place of a text that is no name of the KB.
        scores: [k] float32, the score of the name that each was found by.
        probability: The first name's share of the likelihood of all names that were found; NaN where none was.
    """

    rows: Rows
    scores: NDArray[np.float32]
    probability: float


class Ordering:
    """Orders entities by the score of a name, and those of one name by a scorer, then by id.

    Args:
        ids: [num_entities], the ids of the KB.
        tie_break: Orders entities of one name.
    """

    def __init__(self, ids: NDArray[np.object_], tie_break: Scorer) -> None:
        self.ids = np.append(ids, [NIL, ""]).astype(str)  # NIL_ROW counts from the end
        self.tie_break = tie_break

    def of_names(self, mention: int, names: Sequence[Written], owners: Sequence[Rows]) -> Answers:
        """The owners of written names, in the order of the names; an entity counts by its best name.

        Args:
            mention: The mention's row.
            names: Best first.
            owners: Beside each name its KB rows or NIL_ROW; none where it is no name of the KB: it keeps its place.
        """
        owners = [found if len(found) else NOBODY for found in owners]
        sizes = [len(rows) for rows in owners]
        rows = np.concatenate([np.empty(0, np.int64), *owners])
        places = np.repeat(np.arange(len(names)), sizes)
        scores = np.array([name.score for name in names], np.float64)
        order = np.lexsort((self.ids[rows], -self._broken(mention, rows, places), places))
        rows, places = rows[order], places[order]
        is_first = np.zeros(len(rows), dtype=bool)
        is_first[np.unique(rows, return_index=True)[1]] = True
        firsts = np.flatnonzero(is_first | (rows == NOBODY[0]))
        return Answers(rows[firsts], scores[places[firsts]].astype(np.float32), first_share(scores))

    def of_scores(self, mention: int, rows: Rows, scores: NDArray[np.float64]) -> Answers:
        """Entities [n] in the order of the scores [n] of their names."""
        _, same = np.unique(scores, return_inverse=True)
        order = np.lexsort((self.ids[rows], -self._broken(mention, rows, same), -scores))
        return Answers(rows[order], scores[order].astype(np.float32), first_share(np.unique(scores)[::-1]))

    def _broken(self, mention: int, rows: Rows, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """A score [n] for each entity that shares its group with another; 0 for the others."""
        broken = np.zeros(len(rows))
        shared = (np.bincount(groups, minlength=1)[groups] > 1) & (rows >= 0) if len(rows) else broken > 0
        if shared.any():
            broken[shared] = self.tie_break.scores(np.full(int(shared.sum()), mention), rows[shared])
        return broken


def first_share(scores: NDArray[np.float64]) -> float:
    """The first score's share of the sum of the exponentials of all; NaN where there is none.

    Example:
        >>> round(first_share(np.log([0.3, 0.1])), 6)
        0.75
    """
    if not len(scores):
        return float("nan")
    return float(1 / np.exp(scores - scores[0]).sum())
