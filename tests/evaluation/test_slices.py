"""What is ranked a slice of the KB at a time is ranked as over the whole KB."""

import numpy as np
import pytest
import torch

from dim.errors import DataError
from dim.evaluation import protocols
from dim.evaluation.floor import rank_by_name
from dim.evaluation.metrics import TIE, rank_gold
from dim.evaluation.protocols import Candidates, FullKB
from dim.search import scores as sliced
from dim.search import sparse
from dim.search.exact import Best
from dim.search.lexical import NameIndex
from dim.search.scores import HeldScores, Products, Scores

NUM_ENTITIES = 23


class Computed(Products):
    """Dot products that count what was asked for."""

    def __init__(self, *given):
        super().__init__(*given)
        self.asked = []

    def of(self, entities):
        self.asked.append((entities.start, entities.stop))
        return super().of(entities)


@pytest.fixture(params=[1, 3, 7, 1000])
def size(request, monkeypatch):
    monkeypatch.setattr(sliced, "SLICE", request.param)
    monkeypatch.setattr(sparse, "SLICE", request.param)
    return request.param


def few_values(num_mentions=64, seed=0):
    """Vectors whose products are small integers, exactly: many tie."""
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randint(-2, 3, (num_mentions, 4), generator=generator).float()
    vectors = torch.randint(-1, 2, (NUM_ENTITIES, 4), generator=generator).float()
    gold = torch.randint(-1, NUM_ENTITIES, (num_mentions,), generator=generator)
    return queries, vectors, gold


def check_answers(ranked, scores, k):
    """The answers are the k highest scores, each of an entity that has it, each entity once."""
    np.testing.assert_array_equal(ranked.scores, scores.topk(k).values)
    np.testing.assert_array_equal(scores.gather(1, torch.from_numpy(ranked.rows)), ranked.scores)
    assert all(len(set(row)) == k for row in ranked.rows.tolist())


def test_ranks_ties_and_answers_are_those_of_all_scores(size):
    queries, vectors, gold = few_values()
    asked = Computed(queries, vectors)
    ranked = FullKB().rank(asked, gold, None)
    scores = queries @ vectors.T
    found = gold >= 0
    ranks, ties = rank_gold(scores[found], gold[found])
    assert ties.any()
    np.testing.assert_array_equal(ranked.ranks[found], ranks)
    np.testing.assert_array_equal(ranked.ties[found], ties)
    assert np.isnan(ranked.ranks[~found]).all()
    assert not ranked.ties[~found].any()
    np.testing.assert_array_equal(ranked.hits, found)
    assert (ranked.ranks.dtype, ranked.ties.dtype, ranked.scores.dtype) == (np.float64, np.int64, np.float32)
    check_answers(ranked, scores, protocols.NUM_ANSWERS)
    assert all(stop - start <= size for start, stop in asked.asked) or asked.asked == [(0, NUM_ENTITIES)]


def test_scores_that_do_not_tie_have_one_order(size):
    generator = torch.Generator().manual_seed(1)
    queries = torch.randint(1, 9, (16, 1), generator=generator).float()
    vectors = torch.randperm(NUM_ENTITIES, generator=generator).float()[:, None]
    gold = torch.randint(-1, NUM_ENTITIES, (16,), generator=generator)
    ranked = FullKB().rank(Products(queries, vectors), gold, None)
    np.testing.assert_array_equal(ranked.rows, (queries @ vectors.T).topk(20).indices)


def test_of_equal_scores_an_earlier_slice_stands_first(monkeypatch):
    monkeypatch.setattr(sliced, "SLICE", 1)
    ranked = FullKB().rank(torch.tensor([[0.5, 0.9, 0.5, 0.9]]), torch.tensor([2]), None)
    assert ranked.rows.tolist() == [[1, 3, 0, 2]]
    assert (ranked.ranks.tolist(), ranked.ties.tolist()) == ([4], [1])


def test_one_slice_is_computed_once_and_the_last_of_several_never_again(monkeypatch):
    queries, vectors, gold = few_values()
    asked = Computed(queries, vectors)
    FullKB().rank(asked, gold, None)
    assert asked.asked == [(0, NUM_ENTITIES)]
    monkeypatch.setattr(sliced, "SLICE", 10)
    asked.asked.clear()
    FullKB().rank(asked, gold, None)
    assert asked.asked == [(0, 10), (10, 20), (20, 23), (0, 10), (10, 20)]
    asked.asked.clear()
    FullKB().rank(asked, gold.clamp_max(5), None)  # every gold is in the first slice
    assert asked.asked == [(0, 10), (10, 20), (20, 23)]


@pytest.mark.parametrize("inject_gold", [False, True])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_candidates_are_ranked_alone(size, inject_gold, as_tensor):
    queries, vectors, gold = few_values()
    generator = torch.Generator().manual_seed(2)
    candidates = torch.stack([torch.randperm(NUM_ENTITIES, generator=generator)[:9] for _ in gold])
    candidates[::3, 5:] = -1
    scores = queries @ vectors.T
    protocol = Candidates(size=9, inject_gold=inject_gold)
    ranked = protocol.rank(scores if as_tensor else Products(queries, vectors), gold, candidates)
    for place, (row, wanted) in enumerate(zip(candidates.tolist(), gold.tolist(), strict=True)):
        others = [scores[place, entity].item() for entity in row if entity not in (-1, wanted)]
        if wanted < 0 or wanted not in row:
            assert np.isnan(ranked.ranks[place])
            assert not ranked.hits[place]
            continue
        mine = scores[place, wanted].item()
        level = sum(abs(other - mine) <= TIE for other in others)
        above = sum(other > mine + TIE for other in others)
        assert ranked.ties[place] == level
        assert ranked.ranks[place] == 1 + above + (0 if inject_gold else level)
        assert sorted(ranked.rows[place].tolist()) == sorted(row)
        assert ranked.scores[place].tolist() == sorted(
            [scores[place, entity].item() if entity >= 0 else -np.inf for entity in row], reverse=True
        )


def test_pairs_of_several_slices_are_scored_without_the_rest_of_the_kb(monkeypatch):
    monkeypatch.setattr(sliced, "SLICE", 5)
    queries, vectors, gold = few_values()
    asked = Computed(queries, vectors)
    Candidates().rank(asked, gold, torch.arange(7).expand(len(gold), -1))
    assert asked.asked == []
    monkeypatch.setattr(sliced, "PAIR_CELLS", 1)
    entities = torch.arange(7).expand(len(gold), -1)
    assert torch.equal(asked.at(entities), (queries @ vectors.T)[:, :7])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("place", [0, 4, NUM_ENTITIES - 1])
def test_a_score_that_is_not_finite_is_an_error_wherever_it_stands(size, bad, place):
    scores = torch.zeros(3, NUM_ENTITIES)
    scores[1, place] = bad
    for gold in (0, 4, NUM_ENTITIES - 1):
        with pytest.raises(DataError, match="1 mentions with NaN or inf"):
            FullKB().rank(scores, torch.tensor([gold, gold, -1]), None)
    FullKB().rank(scores, torch.tensor([0, -1, -1]), None)  # of NIL nothing is ranked
    scores[1, place] = -torch.inf
    with pytest.raises(DataError, match="1 mentions with NaN or inf"):
        FullKB().rank(scores, torch.tensor([0, place, -1]), None)
    assert FullKB().rank(scores, torch.tensor([0, (place + 1) % 20, -1]), None).ranks[1] == NUM_ENTITIES - 1


def test_half_precision_is_compared_as_float32(size):
    scores = torch.tensor([[0.5, 0.25, 0.75, 0.5]]).half()
    for candidates in (None, torch.arange(4)[None]):
        ranked = FullKB().rank(scores, torch.tensor([0]), candidates)
        assert (ranked.ranks.tolist(), ranked.scores.dtype) == ([3], np.float32)


NAMES = [f"{first} {last}" for first in ("Ann", "Bo", "Cy", "Ann") for last in ("Lee", "Li", "Leeson", "Stone", "")]


def test_names_are_scored_ranked_and_found_as_without_slices(size, monkeypatch):
    mentions = ["Lee", "bo stone", "Ann", "ß漢", ""] * 14
    gold = torch.arange(len(mentions)) % (len(NAMES) + 1) - 1
    limits = torch.stack([torch.arange(place, place + 6) % len(NAMES) for place in range(len(mentions))])
    index = NameIndex(NAMES)
    found = [index.scores(mentions).of(part) for part in HeldScores(torch.empty(1, len(NAMES))).slices()]
    cut = [index.scores(mentions).of(slice(start, 9)) for start in (0, 2, 8)]
    ranked = [
        rank_by_name(NameIndex(NAMES), mentions, gold, FullKB(), None),
        rank_by_name(NameIndex(NAMES), mentions, gold, FullKB(), limits),
    ]
    rows = [index.search(mentions, k) for k in (1, 2, 5, 13, 99)]
    monkeypatch.setattr(sliced, "SLICE", 1000)
    monkeypatch.setattr(sparse, "SLICE", 1000)
    whole = NameIndex(NAMES).scores(mentions).whole()
    assert torch.equal(torch.cat(found, dim=1), whole)
    assert all(torch.equal(part, whole[:, start:9]) for part, start in zip(cut, (0, 2, 8), strict=True))
    assert torch.equal(index.scores(mentions).of_some(slice(2, 9), torch.tensor([3, 1])), whole[[3, 1], 2:9])
    expected = np.argsort(-whole.numpy(), axis=1, kind="stable")
    for k, some in zip((1, 2, 5, 13, 99), rows, strict=True):
        np.testing.assert_array_equal(np.take_along_axis(whole.numpy(), some, 1), -np.sort(-whole.numpy())[:, :k])
        if k > len(NAMES) // 4:  # of fewer, any of those that tie may be the last
            np.testing.assert_array_equal(some, expected[:, :k])
    for outcome, candidates in zip(ranked, (None, limits), strict=True):
        again = FullKB().rank(whole, gold, candidates)
        for name in ("ranks", "ties", "hits", "scores"):
            np.testing.assert_array_equal(getattr(outcome, name), getattr(again, name))


def test_exact_search_over_slices_finds_what_it_finds_over_the_whole(size):
    queries, vectors, _ = few_values(num_mentions=600)
    best = Best.of(Products(queries, vectors), 6)
    scores = queries @ vectors.T
    assert torch.equal(best.values, scores.topk(6).values)
    assert torch.equal(scores.gather(1, best.columns), best.values)
    assert Best.of(Products(queries[:0], vectors), 6).columns.shape == (0, 6)


def test_scores_of_one_s_own_need_one_method(monkeypatch):
    class Lengths(Scores):
        def of(self, entities):
            return -torch.arange(entities.start, entities.stop).float().expand(self.num_mentions, -1)

    monkeypatch.setattr(sliced, "SLICE", 4)
    ranked = FullKB().rank(Lengths(2, 10), torch.tensor([7, 0]), None)
    assert ranked.ranks.tolist() == [8, 1]
    assert ranked.rows[0].tolist() == list(range(10))
    limited = FullKB().rank(Lengths(2, 10), torch.tensor([7, 3]), torch.tensor([[9, 7, 1], [0, 3, -1]]))
    assert limited.ranks.tolist() == [2, 2]
