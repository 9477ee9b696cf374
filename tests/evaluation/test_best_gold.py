"""A mention with several golds: its rank is that of the best one, and no other gold stands before it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dim.data.dataset import write_dataset
from dim.errors import DataError
from dim.evaluation.breakdown import describe
from dim.evaluation.foreign import read_ranks
from dim.evaluation.metrics import TIE, rank_gold
from dim.evaluation.protocols import NIL_ROW, Candidates, FullKB, Ranked
from dim.search import scores as sliced
from dim.search.scores import Products

SCORES = torch.tensor([[0.9, 0.5, 0.5, 0.5, 0.1]])


@pytest.mark.parametrize(
    ("golds", "rank", "ties"),
    [
        ([1], 4, 2),
        ([1, 2], 3, 1),  # the gold beside it is no competitor; the one tie left is
        ([1, 2, 3], 2, 0),
        ([4, 1], 4, 2),  # the order says nothing
        ([4, 0], 1, 0),
        ([4, -1], 5, 0),
        ([-1, -1], np.nan, 0),
    ],
)
def test_the_best_gold_gives_the_rank_and_ties_with_others_than_golds_count(golds, rank, ties):
    ranked = FullKB().rank(SCORES, torch.tensor([golds]), None)
    np.testing.assert_array_equal(ranked.ranks, [rank])
    assert ranked.ties.tolist() == [ties]
    assert ranked.hits.tolist() == [max(golds) >= 0]
    if max(golds) >= 0:
        assert [int(each) for each in rank_gold(SCORES, torch.tensor([golds]))] == [rank, ties]


def loop_rank(scores, golds):
    best = max(scores[gold] for gold in golds)
    others = [score for column, score in enumerate(scores) if column not in golds]
    return 1 + sum(score >= best - TIE for score in others), sum(abs(score - best) <= TIE for score in others)


LEVELS = st.lists(st.integers(0, 4), min_size=2, max_size=12)
PLACES = st.sets(st.integers(0, 11), min_size=1)


@given(LEVELS, PLACES, st.integers(1, 9))
def test_ranks_are_what_a_loop_counts_in_slices_of_any_size(levels, places, size):
    golds = sorted({place % len(levels) for place in places})
    scores = [level / 4 for level in levels]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliced, "SLICE", size)
        products = Products(torch.ones(1, 1), torch.tensor(scores)[:, None])
        ranked = FullKB().rank(products, torch.tensor([golds]), None)
    assert (ranked.ranks[0], ranked.ties[0]) == loop_rank(scores, golds)


@given(LEVELS, PLACES, st.integers(0, 11))
def test_a_further_gold_never_worsens_a_rank(levels, places, further):
    scores = torch.tensor([levels]) / 4
    golds = sorted({place % len(levels) for place in places})
    more = list(dict.fromkeys([*golds, further % len(levels)]))
    for candidates in (None, torch.arange(0, len(levels), 2)[None]):
        before = FullKB().rank(scores, torch.tensor([golds]), candidates).ranks[0]
        after = FullKB().rank(scores, torch.tensor([more]), candidates).ranks[0]
        assert np.nan_to_num(after, nan=np.inf) <= np.nan_to_num(before, nan=np.inf)


def test_mentions_with_one_gold_are_ranked_beside_those_with_several_as_alone(monkeypatch):
    monkeypatch.setattr(sliced, "SLICE", 3)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 4, (40, 11), generator=generator).float()
    gold = torch.randint(-1, 11, (40,), generator=generator)
    alone = FullKB().rank(scores, gold, None)
    beside = FullKB().rank(scores, torch.stack([gold, torch.full((40,), -1)], dim=1), None)
    for name in ("ranks", "ties", "hits", "rows", "scores"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(beside, name))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_best_gold_whose_score_is_not_finite_is_an_error(bad):
    with pytest.raises(DataError, match="1 mentions with NaN or inf"):
        FullKB().rank(torch.tensor([[0.5, bad, bad]]), torch.tensor([[1, 2]]), None)


def test_a_list_of_candidates_holds_the_gold_if_it_holds_any():
    candidates = torch.tensor([[2, 3, -1], [3, 4, -1], [4, 1, 2]])
    golds = torch.tensor([[1, 2], [1, 2], [1, 2]])
    ranked = Candidates().rank(SCORES.expand(3, -1), golds, candidates)
    np.testing.assert_array_equal(ranked.ranks, [2, np.nan, 1])
    assert ranked.hits.tolist() == [True, False, True]
    assert ranked.ties.tolist() == [1, 0, 0]


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(
        tmp_path / "d",
        name="d",
        entities=pd.DataFrame({"id": list("abcde"), "name": ["Ann Lee", "Ann Li", "Bob", "Carl", "Ann Leeson"]}),
        texts={},
        mentions=pd.DataFrame(
            {
                "id": ["m0", "m1", "m2", "m3"],
                "split": "dev",
                "mention": ["Ann Lee", "Bob", "Ann", "Carl"],
                "context": "",
                "entity_id": ["a", "c", None, "d"],
                "other_golds": [["b", "unknown", "a", "b"], [], ["d"], None],
                "candidates": [["b", "d"], ["d", "e"], ["a"], ["a"]],
            }
        ),
    )


def test_golds_of_a_dataset_are_kb_rows_each_once_and_nil_stays_alone(dataset):
    assert dataset.golds_of(dataset.mentions).tolist() == [[0, 1], [2, -1], [-1, -1], [3, -1]]
    assert dataset.golds_of(dataset.mentions[1:]).tolist() == [[2], [-1], [3]]
    assert dataset.mention("m0").other_golds == ("b", "unknown", "a", "b")
    assert dataset.mention("m3").other_golds == ()


def test_a_gold_is_injected_only_where_the_list_holds_none(dataset):
    found = Candidates(source="released", size=2, inject_gold=True).candidates(dataset, dataset.mentions)
    assert found.tolist() == [[1, 3], [3, 2], [0, -1], [0, 3]]


def test_more_golds_than_anyone_annotates_are_refused(dataset):
    dataset.mentions["other_golds"] = [[f"e{number}" for number in range(101)], None, None, None]
    with pytest.raises(DataError, match=r"at most 100 golds a mention[\s\S]*102"):
        dataset.golds_of(dataset.mentions)


def test_a_written_list_is_ranked_by_its_first_gold():
    rows = [np.array([NIL_ROW, 3, 2, 1]), np.array([4]), np.array([0, 1])]
    ranked = Ranked.from_lists(rows, [np.zeros(len(each)) for each in rows], np.array([[1, 2], [1, 2], [-1, -1]]))
    np.testing.assert_array_equal(ranked.ranks, [3, np.nan, np.nan])
    assert ranked.hits.tolist() == [True, False, False]


def test_another_systems_lists_are_ranked_by_the_best_gold(dataset, tmp_path):
    rows = [
        {"mention_id": "m0", "entity_ids": ["c", "b", "a"], "scores": [0.9, 0.5, 0.5]},
        {"mention_id": "m1", "entity_ids": ["d", "a"], "scores": [0.9, 0.5]},
        {"mention_id": "m2", "entity_ids": ["d"], "scores": [0.1]},
        {"mention_id": "m3", "entity_ids": ["c", "d"], "scores": [0.5, 0.5]},
    ]
    path = tmp_path / "lists.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    ranked = read_ranks(path, dataset, dataset.mentions).ranked
    np.testing.assert_array_equal(ranked.ranks, [2, np.nan, np.nan, 2])
    assert ranked.ties.tolist() == [0, 0, 0, 1]
    path.write_text("\n".join(json.dumps(row | {"scores": None}) for row in rows))
    np.testing.assert_array_equal(read_ranks(path, dataset, dataset.mentions).ranked.ranks, [2, np.nan, np.nan, 2])


def test_a_breakdown_knows_all_golds(dataset):
    dataset.mentions.loc[0, "split"] = "train"
    dataset.mentions.at[3, "other_golds"] = ["b"]
    found = describe(dataset, dataset.mentions[1:])
    assert found["seen_in_train"].tolist() == [False, False, True]
    assert found["mention_is_name"].tolist() == [True, False, True]
    dataset.mentions.loc[3, "mention"] = "ann li"
    assert describe(dataset, dataset.mentions[3:])["mention_is_name"].tolist() == [True]
