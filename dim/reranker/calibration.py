"""Probabilities that mean what they say: a temperature for the ranker's softmax, and how far it is off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dim.core.arrays import Doubles

NUM_BINS = 15


def softmax(scores: ArrayLike, temperature: float = 1.0) -> Doubles:
    """Probabilities of each list of scores [..., c]; empty for an empty list.

    Example:
        >>> softmax([2.0, 2.0]).tolist()
        [0.5, 0.5]
    """
    values = np.asarray(scores, dtype=np.float64) / temperature
    if values.size == 0:
        return values
    raised = np.exp(values - values.max(-1, keepdims=True))
    found: Doubles = raised / raised.sum(-1, keepdims=True)
    return found


def fit_temperature(scores: Doubles, gold: NDArray[np.int64]) -> float:
    """The temperature, between 0.1 and 10, under which the golds are most probable.

    Args:
        scores: [num_lists, longest], -inf as padding; of networks that did not see these lists.
        gold: [num_lists], the gold's place in its list.

    Example:
        >>> wrong_half_the_time = np.array([[9.0, 0.0], [9.0, 0.0]])
        >>> fit_temperature(wrong_half_the_time, np.array([0, 1])) > 5
        True
    """
    from scipy.optimize import minimize_scalar  # a linker that is opened fits nothing

    def loss(log_temperature: float) -> float:
        values = scores / np.exp(log_temperature)
        top = values.max(1)
        total = top + np.log(np.exp(values - top[:, None]).sum(1))
        return float((total - values[np.arange(len(gold)), gold]).mean())

    bounds = (np.log(0.1), np.log(10.0))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


@dataclass(frozen=True)
class Absence:
    """How probable it is that the gold is no candidate, though the KB has it: a logistic curve of how sure a list is.

    Attributes:
        base: The log-odds of it where the first candidate has probability 0.5.
        slope: Is added for each unit of that probability's log-odds.
    """

    base: float
    slope: float

    @classmethod
    def fit(cls, top: Doubles, is_absent: NDArray[np.bool_]) -> Self | None:
        """Of lists [n], by the probability of their first candidate; None where the gold is never absent.

        Args:
            top: [n], of networks that did not see these lists.
            is_absent: [n].
        """
        if not is_absent.any() or is_absent.all():
            return None
        from scipy.optimize import minimize
        from scipy.special import expit

        evidence = np.stack([np.ones(len(top)), _log_odds(top)], axis=1)
        signs = np.where(is_absent, -1.0, 1.0)

        def loss(weights: Doubles) -> tuple[float, Doubles]:
            odds = signs * (evidence @ weights)
            far = np.array([0.0, weights[1]])  # of few lists no steep curve is learned
            return float(np.logaddexp(0, odds).sum() + far @ far / 2), (signs * expit(odds)) @ evidence + far

        base, slope = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B").x
        return cls(float(base), float(slope))

    def of(self, top: float) -> float:
        """The probability, by that of the first candidate."""
        return float(1 / (1 + np.exp(-self.base - self.slope * _log_odds(np.array(top)))))


def _log_odds(probability: Doubles) -> Doubles:
    clipped = probability.clip(1e-6, 1 - 1e-6)
    found: Doubles = np.log(clipped) - np.log1p(-clipped)
    return found


def reliability(probability: ArrayLike, correct: ArrayLike, num_bins: int = NUM_BINS) -> list[dict[str, float]]:
    """One entry a bin that is not empty: how many answers, their mean probability, and the share that is right.

    Bins are of equal width; the last includes 1.

    Args:
        probability: [n] of the first answers, between 0 and 1.
        correct: [n] bool.
        num_bins: Bins between 0 and 1.

    Example:
        >>> reliability([0.9, 0.95], [True, False], num_bins=1)
        [{'n': 2, 'probability': 0.925, 'correct': 0.5}]
    """
    said, right = np.asarray(probability, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    bins = np.minimum((said * num_bins).astype(np.int64), num_bins - 1)
    return [
        {"n": int(inside.sum()), "probability": float(said[inside].mean()), "correct": float(right[inside].mean())}
        for inside in (bins == place for place in range(num_bins))
        if inside.any()
    ]


def expected_calibration_error(probability: ArrayLike, correct: ArrayLike, num_bins: int = NUM_BINS) -> float:
    """How far probabilities and shares of right answers are apart, over `num_bins` equal bins, weighted by answers.

    NaN for no answer. torchmetrics' `binary_calibration_error` differs: it gives answers of 1 a bin of their own.

    Example:
        >>> expected_calibration_error([0.9, 0.9], [True, False])
        0.4
    """
    bins = reliability(probability, correct, num_bins)
    total = sum(entry["n"] for entry in bins)
    if not total:
        return float("nan")
    return float(sum(entry["n"] * abs(entry["probability"] - entry["correct"]) for entry in bins) / total)


def calibration_error_by_chance(probability: ArrayLike) -> tuple[float, float]:
    """The error that answers have whose probabilities mean what they say: its mean, and what 95% of draws stay below.

    It is above 0, as few answers in a bin are seldom right as often as expected; the fewer, the higher. A measured
    error below the second says nothing against a calibration.

    Args:
        probability: [n] of the first answers, between 0 and 1.

    Returns:
        NaN twice for no answer.

    Example:
        >>> mean, most = calibration_error_by_chance([0.5] * 100)
        >>> 0.03 < mean < 0.05 < most < 0.12
        True
    """
    said = np.asarray(probability, dtype=np.float64)
    if not said.size:
        return float("nan"), float("nan")
    bins = np.minimum((said * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    generator, errors = np.random.default_rng(0), np.empty(1000)
    for place in range(len(errors)):
        off = np.bincount(bins, (generator.random(len(said)) < said) - said, NUM_BINS)
        errors[place] = np.abs(off).sum() / len(said)
    return float(errors.mean()), float(np.quantile(errors, 0.95))
