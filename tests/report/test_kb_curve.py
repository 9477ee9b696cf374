import numpy as np
import pytest
from scipy.stats import hypergeom

from dim.report.kb_curve import expected_top1

RANKS = [1, 1, 2, 5, 17, 40, np.inf]


def test_agrees_with_scipys_hypergeometric_chance_of_none():
    sizes = [1, 2, 3, 10, 30, 49, 50]
    expected = [
        np.mean([0.0 if np.isinf(r) else hypergeom(49, int(r) - 1, m - 1).pmf(0) for r in RANKS]) for m in sizes
    ]
    assert expected_top1(RANKS, 50, sizes) == pytest.approx(expected)


def test_agrees_with_drawn_kbs():
    generator = np.random.default_rng(0)
    better = [[*range(int(r) - 1)] for r in RANKS if np.isfinite(r)]  # of 49 others, those above the gold
    firsts = [
        np.mean([not set(above) & set(drawn) for above in better])
        for drawn in (generator.choice(49, size=9, replace=False) for _ in range(4000))
    ]
    assert expected_top1(RANKS[:-1], 50, [10])[0] == pytest.approx(np.mean(firsts), abs=0.01)


def test_over_the_whole_kb_it_is_top1_and_over_the_gold_alone_it_is_one():
    generator = np.random.default_rng(0)
    ranks = generator.integers(1, 160_935, 500)
    ranks[:200] = 1
    curve = expected_top1(ranks, 160_935, [1, 1000, 160_935])
    assert curve[[0, 2]] == pytest.approx([1.0, (ranks == 1).mean()])
    assert curve[0] > curve[1] > curve[2]
    assert np.isnan(expected_top1([], 5, [1, 5])).all()
