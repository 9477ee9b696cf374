import numpy as np
import pytest
from scipy.stats import bootstrap

from dim.evaluation.intervals import Bootstrap, draw_counts


@pytest.fixture
def hits():
    return (np.random.default_rng(0).random(400) < 0.7).astype(float)


def test_bounds_agree_with_scipys_percentile_bootstrap(hits):
    low, high = Bootstrap(np.arange(400)).interval(np.stack([hits, 1 / (1 + 9 * hits)], axis=1))
    for place, values in enumerate((hits, 1 / (1 + 9 * hits))):
        theirs = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
        assert [low[place], high[place]] == pytest.approx([theirs.low, theirs.high], abs=0.006)


def test_clusters_are_drawn_whole_as_in_a_loop():
    generator = np.random.default_rng(2)
    sizes = generator.integers(1, 6, 60)
    labels = np.repeat(np.arange(60), sizes)
    hits = np.repeat((generator.random(60) < 0.6).astype(float), sizes)  # mentions of an image are right together
    means = []
    for _ in range(4000):
        drawn = np.concatenate([hits[labels == label] for label in generator.integers(0, 60, 60)])
        means.append(drawn.mean())
    low, high = Bootstrap(labels, rounds=4000).interval(hits[:, None])
    assert [low[0], high[0]] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.02)
    alone_low, alone_high = Bootstrap(np.arange(len(hits)), rounds=4000).interval(hits[:, None])
    assert high[0] - low[0] > 1.3 * (alone_high[0] - alone_low[0])


def test_a_part_of_the_mentions_has_the_interval_of_its_own_mean(hits):
    where = np.arange(400) % 4 == 0
    low, high = Bootstrap(np.arange(400)).interval(hits[:, None], where[:, None])
    own_low, own_high = Bootstrap(np.arange(100), seed=5).interval(hits[where][:, None])
    assert [low[0], high[0]] == pytest.approx([own_low[0], own_high[0]], abs=0.015)


def test_the_same_seed_gives_the_same_bounds_and_another_seed_nearly_them(hits):
    same = [Bootstrap(np.arange(400), rounds=2000, seed=s).interval(hits[:, None])[0][0] for s in (3, 3, 4)]
    assert same[0] == same[1]
    assert same[2] == pytest.approx(same[0], abs=0.01)


def test_empty_parts_and_equal_values_have_their_bounds_too(hits):
    bootstrap = Bootstrap(np.arange(400), rounds=200)
    low, high = bootstrap.interval(np.ones((400, 2)), np.stack([np.zeros(400), np.ones(400)], axis=1))
    assert np.isnan(low[0])
    assert (low[1], high[1]) == (1.0, 1.0)
    assert Bootstrap([], rounds=100).interval(np.empty((0, 1)))[0].shape == (1,)


def test_draws_are_as_many_as_clusters_and_even():
    counts = draw_counts(50, 2000, seed=0)
    assert (counts.sum(1) == 50).all()
    assert counts.mean(0) == pytest.approx(np.ones(50), abs=0.12)


def test_ten_thousand_draws_of_the_largest_dev_split_are_near_the_normal_interval():
    values = np.random.default_rng(0).random((2585, 6))
    bounds = Bootstrap(np.arange(2585)).interval(values)
    half = 1.96 * values.std(0) / np.sqrt(2585)
    np.testing.assert_allclose(bounds, [values.mean(0) - half, values.mean(0) + half], atol=0.001)
