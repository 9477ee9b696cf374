"""What coherence weighs: learned from texts whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dim.collective.passage import Passage
from dim.core.arrays import Doubles, Rows

RIDGE = 0.01  #: Half of it times the squared weights is taken from the log-likelihood: a few texts bound them.


@dataclass(frozen=True)
class _Told:
    """The ways to answer a text.

    Attributes:
        scores: [w], without coherence.
        features: [w, num_features].
        is_right: [w], whether a way has the gold of each mention whose gold is a candidate.
    """

    scores: Doubles
    features: Doubles
    is_right: NDArray[np.bool_]


def fit_weights(passages: Sequence[Passage], golds: Sequence[Rows], ridge: float = RIDGE) -> Doubles:
    """The weights [num_features] under which the golds are most probable, each text as a whole.

    A mention whose gold is no candidate may mean any of them.

    Args:
        passages: Texts of at least one candidate a mention.
        golds: For each the places [n] of the golds in the lists, -1 where there is none.
        ridge: Of the weights.
    """
    from scipy.optimize import minimize  # a linker that is opened fits nothing

    each_told = (_told(passage, own) for passage, own in zip(passages, golds, strict=True))
    told = [each for each in each_told if each is not None]
    num_features = passages[0].pairs.shape[2] if len(passages) else 0

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        value, slope = ridge / 2 * float(weights @ weights), ridge * weights
        for each in told:
            totals = each.scores + each.features @ weights
            for sign, which in ((1.0, slice(None)), (-1.0, each.is_right)):
                part = totals[which]
                likely = np.exp(part - part.max())
                value += sign * float(part.max() + np.log(likely.sum()))
                slope = slope + sign * (likely / likely.sum()) @ each.features[which]
        return value, slope

    found: Doubles = minimize(loss, np.zeros(num_features), jac=True, method="L-BFGS-B").x
    return found


def _told(passage: Passage, golds: Rows) -> _Told | None:
    """None where nothing can be learned: no way is right, or every one."""
    ways, scores = passage.ways(np.zeros(passage.pairs.shape[2]))
    is_right = ((ways == golds) | (golds < 0)).all(1)
    if not is_right.any() or is_right.all():
        return None
    return _Told(scores, passage.coherence(ways), is_right)
