"""Whether a difference between two systems on the same mentions is more than chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDS = 10_000
BLOCK = 256  # rounds in memory at once


def paired_randomization(
    a: ArrayLike, b: ArrayLike, rounds: int = ROUNDS, seed: int = 0, clusters: ArrayLike | None = None
) -> float:
    """The two-sided p-value of the mean difference of paired values, by random sign flips.

    Args:
        a: [n] values of one system, one a mention (a hit as 0 or 1, or its mean over seeds).
        b: [n] values of the other, in the same order.
        rounds: Random assignments of the pairs; the smallest possible p is 1 / (rounds + 1).
        seed: Of the flips.
        clusters: [n] labels; mentions with one label (such as one image) are flipped together. None: each alone.

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
    differences: NDArray[np.float64] = first - second
    if clusters is not None and differences.size:
        places = np.unique(np.asarray(clusters), return_inverse=True)[1]
        differences = np.bincount(places, weights=differences).astype(np.float64)
    # Seeds' means differ by rounding alone where hits agree; and a zero is zero under any flip.
    differences = differences[np.abs(differences) > 1e-9]
    if differences.size == 0:
        return 1.0
    observed = abs(differences.sum())
    generator = np.random.default_rng(seed)
    at_least = 0
    for start in range(0, rounds, BLOCK):
        flips = generator.integers(0, 2, size=(min(BLOCK, rounds - start), differences.size), dtype=np.int8) * 2 - 1
        # A margin for sums of the same numbers in another order.
        at_least += int((np.abs(flips.astype(np.float64) @ differences) >= observed - 1e-9).sum())
    return (at_least + 1) / (rounds + 1)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """The p-values after Holm's step-down correction: each below α keeps the chance of any false alarm below α.

    SciPy has none (`false_discovery_control` is another correction); statsmodels would be a package for four lines.

    Args:
        p_values: [m], of all tests that are shown together.

    Returns:
        Adjusted p-values [m] in the same order, at most 1; empty for no test.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def win_tie_loss(a: ArrayLike, b: ArrayLike) -> tuple[int, int, int]:
    """On how many mentions a is better than b, equal, worse.

    Example:
        >>> win_tie_loss([1, 1, 0, 0.5], [0, 1, 1, 0])
        (2, 1, 1)
    """
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    wins, losses = int((difference > 1e-9).sum()), int((difference < -1e-9).sum())
    return wins, difference.size - wins - losses, losses
