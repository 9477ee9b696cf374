"""What Top-1 would be over a smaller KB: exact, from the ranks over the whole one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln


def expected_top1(ranks: ArrayLike, kb_size: int, sizes: ArrayLike) -> NDArray[np.float64]:
    """The expected Top-1 if the KB held the gold and a random choice of the other entities.

    The gold is first when none of the r − 1 entities above it is among the m − 1 drawn from the other N − 1:
    C(N − r, m − 1) / C(N − 1, m − 1), the hypergeometric chance of none.

    Args:
        ranks: [n] over the whole KB, 1-based; inf or NaN is a miss at every size.
        kb_size: N, the entities of the whole KB.
        sizes: [k], each between 1 and N.

    Returns:
        [k] shares, at N the Top-1 itself; NaN for no rank.

    Example:
        >>> expected_top1([1, 3], kb_size=3, sizes=[1, 2, 3]).round(3).tolist()
        [1.0, 0.5, 0.5]
    """
    values = np.asarray(ranks, dtype=np.float64)
    found, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    drawn = np.asarray(sizes, dtype=np.float64)[:, None] - 1
    room = kb_size - found - drawn  # entities below the gold that stay undrawn; below 0 one above is always drawn
    with np.errstate(invalid="ignore"):
        log_chance = (
            gammaln(kb_size - found + 1)
            - gammaln(np.maximum(room, 0) + 1)
            + gammaln(kb_size - drawn)
            - gammaln(float(kb_size))
        )
    chance = np.where(room >= 0, np.exp(np.minimum(log_chance, 0.0)), 0.0)
    total = values.size
    return (chance * counts).sum(1) / total if total else np.full(len(drawn), np.nan)
