"""Whether a difference between two systems on the same mentions is more than chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDS = 10_000
BLOCK = 256  # rounds in memory at once


def paired_randomization(a: ArrayLike, b: ArrayLike, rounds: int = ROUNDS, seed: int = 0) -> float:
    """The two-sided p-value of the mean difference of paired values, by random sign flips.

    Args:
        a: [n] values of one system, one a mention (a hit as 0 or 1, or its mean over seeds).
        b: [n] values of the other, in the same order.
        rounds: Random assignments of the pairs; the smallest possible p is 1 / (rounds + 1).
        seed: Of the flips.

    Returns:
        p between 0 and 1; 1.0 where no pair differs, and for no pair at all.

    Raises:
        ValueError: The systems have values for different numbers of mentions.

    Example:
        >>> paired_randomization([1, 0, 1], [1, 0, 1])
        1.0
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired values of equal length, found {first.shape} and {second.shape}")
    differences: NDArray[np.float64] = (first - second)[first != second]
    if differences.size == 0:
        return 1.0
    observed = abs(differences.sum())
    generator = np.random.default_rng(seed)
    at_least = 0
    for start in range(0, rounds, BLOCK):
        flips = generator.integers(0, 2, size=(min(BLOCK, rounds - start), differences.size)) * 2 - 1
        # A margin for sums of the same numbers in another order.
        at_least += int((np.abs(flips @ differences) >= observed - 1e-9).sum())
    return (at_least + 1) / (rounds + 1)
