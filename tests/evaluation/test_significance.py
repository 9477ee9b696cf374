import numpy as np
import pytest
from scipy.stats import permutation_test

from dim.evaluation.significance import paired_randomization


def test_p_agrees_with_scipys_permutation_test():
    generator = np.random.default_rng(3)
    a = (generator.random(300) < 0.80).astype(float)
    b = np.where(generator.random(300) < 0.9, a, (generator.random(300) < 0.5).astype(float))
    expected = permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=generator,
    ).pvalue
    assert paired_randomization(a, b) == pytest.approx(expected, abs=0.02)


def test_a_run_against_itself_is_not_significant():
    hits = np.array([1.0, 0.0, 1.0, 1.0])
    assert paired_randomization(hits, hits) == 1.0
    assert paired_randomization([], []) == 1.0


def test_a_clear_difference_is_significant_and_unequal_lengths_are_refused():
    assert paired_randomization(np.ones(200), np.zeros(200)) < 0.001
    with pytest.raises(ValueError, match="equal length"):
        paired_randomization([1, 0], [1])
