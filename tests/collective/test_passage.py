from itertools import product

import numpy as np
import pytest

from dim.collective.passage import Passage
from dim.collective.weights import fit_weights


def drawn(sizes: list[int], seed: int = 0, num_features: int = 2) -> Passage:
    rng = np.random.default_rng(seed)
    own = [np.log(rng.dirichlet(np.ones(size))) for size in sizes]
    pairs = rng.normal(size=(sum(sizes), sum(sizes), num_features))
    pairs = pairs + pairs.transpose(1, 0, 2)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    pairs[owners[:, None] == owners] = 0
    return Passage(own, pairs)


def score_of(passage: Passage, way: tuple[int, ...], weights: np.ndarray) -> float:
    """As the formula is written: log-probabilities, and each pair once, by the mean of each mention's pairs."""
    total = sum(float(own[place]) for own, place in zip(passage.own, way, strict=True))
    starts = np.cumsum([0, *map(len, passage.own)])
    for first in range(len(way)):
        for second in range(first + 1, len(way)):
            features = passage.pairs[starts[first] + way[first], starts[second] + way[second]]
            total += float(features @ weights) / (len(way) - 1)
    return total


@pytest.mark.parametrize("sizes", [[3, 2], [2, 4, 3], [1, 5], [4]])
def test_all_ways_have_the_score_of_the_formula(sizes: list[int]) -> None:
    passage, weights = drawn(sizes), np.array([0.7, -1.3])
    ways, scores = passage.ways(weights)
    found = {tuple(way): score for way, score in zip(ways.tolist(), scores.tolist(), strict=True)}
    assert set(found) == set(product(*map(range, sizes)))
    for way, score in found.items():
        assert score == pytest.approx(score_of(passage, way, weights))
    assert np.all(np.diff(scores) <= 0)


def test_probabilities_are_the_marginals_of_all_ways() -> None:
    passage, weights = drawn([3, 2, 3]), np.array([2.0, 1.0])
    expected = [np.zeros(len(own)) for own in passage.own]
    for way in product(*(range(len(own)) for own in passage.own)):
        for place, chosen in enumerate(way):
            expected[place][chosen] += np.exp(score_of(passage, way, weights))
    for found, own in zip(passage.together(weights), expected, strict=True):
        np.testing.assert_allclose(found, own / own.sum())


@pytest.mark.parametrize("sizes", [[3, 4, 2], [4] * 30])
def test_without_coherence_each_mention_stands_alone_also_where_few_ways_are_kept(sizes: list[int]) -> None:
    passage = drawn(sizes)
    for found, own in zip(passage.together(np.zeros(2)), passage.own, strict=True):
        np.testing.assert_allclose(found, np.exp(own))


def test_a_narrow_beam_keeps_the_best_of_what_it_saw_and_a_long_text_is_done() -> None:
    passage, weights = drawn([4] * 25), np.array([0.5, 0.5])
    ways, scores = passage.ways(weights, width=64)
    assert ways.shape == (64, 25)
    assert scores[0] == pytest.approx(score_of(passage, tuple(ways[0].tolist()), weights))
    assert scores[0] >= score_of(passage, tuple(int(own.argmax()) for own in passage.own), weights)


def test_summed_features_are_those_of_the_score() -> None:
    passage, weights = drawn([3, 2, 2]), np.array([1.5, -0.5])
    ways, scores = passage.ways(weights)
    alone = [sum(own[place] for own, place in zip(passage.own, way, strict=True)) for way in ways.tolist()]
    np.testing.assert_allclose(alone + passage.coherence(ways) @ weights, scores)


def test_weights_are_learned_where_coherence_tells_the_golds() -> None:
    rng = np.random.default_rng(1)
    passages, golds = [], []
    for _ in range(60):
        passage = Passage([np.log(np.full(3, 1 / 3))] * 2, np.zeros((6, 6, 2)))
        gold = rng.integers(3, size=2)
        passage.pairs[..., 1] = rng.normal(size=(6, 6))  # says nothing
        passage.pairs[gold[0], 3 + gold[1], 0] = 1.0 if rng.random() < 0.9 else 0.0
        passages.append(Passage(passage.own, passage.pairs + passage.pairs.transpose(1, 0, 2)))
        golds.append(gold)
    found = fit_weights(passages, golds)
    assert found[0] > 3
    assert abs(found[1]) < 1
    # The slope that the search follows is that of the loss: at its end it is nearly flat.
    likely = [passage.together(found) for passage in passages]
    right = [own[place][gold[place]] for own, gold in zip(likely, golds, strict=True) for place in range(2)]
    assert np.mean(right) > 0.8


def test_texts_that_teach_nothing_leave_weights_at_zero() -> None:
    passage = drawn([3, 2])
    np.testing.assert_array_equal(fit_weights([passage], [np.array([-1, -1])]), [0, 0])
    assert len(fit_weights([], [])) == 0
