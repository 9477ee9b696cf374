import itertools

import numpy as np
import pytest
from scipy.stats import permutation_test

from dim.evaluation.significance import holm, paired_randomization, win_tie_loss


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


def test_p_of_clusters_agrees_with_all_flips_of_whole_clusters():
    generator = np.random.default_rng(1)
    clusters = np.repeat(np.arange(10), 4)
    a, b = generator.random(40), generator.random(40) - np.repeat(generator.normal(0.15, 0.3, 10), 4)
    sums = [float((a - b)[clusters == cluster].sum()) for cluster in range(10)]
    flipped = [abs(np.dot(signs, sums)) for signs in itertools.product((1, -1), repeat=10)]
    exact = np.mean(np.array(flipped) >= abs(sum(sums)) - 1e-9)
    assert paired_randomization(a, b, clusters=clusters) == pytest.approx(exact, abs=0.02)
    assert paired_randomization(a, b) != pytest.approx(exact, abs=0.02)


def test_clusters_of_one_change_nothing():
    generator = np.random.default_rng(2)
    a, b = generator.random(50), generator.random(50)
    assert paired_randomization(a, b, clusters=np.arange(50)) == paired_randomization(a, b)


def test_a_run_against_itself_is_not_significant():
    hits = np.array([1.0, 0.0, 1.0, 1.0])
    assert paired_randomization(hits, hits) == 1.0
    assert paired_randomization(hits, hits, clusters=[0, 0, 1, 1]) == 1.0
    assert paired_randomization([], []) == 1.0
    assert paired_randomization([], [], clusters=[]) == 1.0


def test_a_clear_difference_is_significant_and_unequal_lengths_are_refused():
    assert paired_randomization(np.ones(200), np.zeros(200)) < 0.001
    assert paired_randomization(np.ones(200), np.zeros(200), rounds=99) == 1 / 100  # never 0: what was seen is one draw
    with pytest.raises(ValueError, match="equal length"):
        paired_randomization([1, 0], [1])


def test_equal_systems_are_called_different_at_five_per_cent_about_five_times_in_a_hundred():
    generator = np.random.default_rng(4)
    alarms = 0
    for _ in range(400):
        a, b = (generator.random(60) < 0.5).astype(float), (generator.random(60) < 0.5).astype(float)
        alarms += paired_randomization(a, b, rounds=400) <= 0.05
    assert 2 <= alarms <= 34  # 5% of 400 is 20; three standard errors on each side, and the test is discrete


def test_holm_agrees_with_its_definition_in_a_loop():
    generator = np.random.default_rng(0)
    for size in (1, 2, 7):
        p_values = generator.random(size) ** 3
        ordered = sorted(p_values)
        expected = [min(1.0, max((size - j) * ordered[j] for j in range(ordered.index(p) + 1))) for p in p_values]
        assert holm(p_values) == pytest.approx(expected)
    # By hand: 4 × 0.005, 3 × 0.01, 2 × 0.03, then never below what came before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).size == 0


def test_wins_ties_and_losses_add_up():
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 2, 100), generator.integers(0, 2, 100)
    pairs = list(zip(a, b, strict=True))
    expected = (sum(x > y for x, y in pairs), sum(x == y for x, y in pairs), sum(x < y for x, y in pairs))
    assert win_tie_loss(a, b) == expected
    assert win_tie_loss([(0.1 + 0.2) / 3], [0.1]) == (0, 1, 0)
