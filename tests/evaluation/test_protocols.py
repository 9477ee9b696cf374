import numpy as np
import pandas as pd
import pytest
import torch

from dim.data.dataset import write_dataset
from dim.errors import DataError
from dim.evaluation.floor import rank_by_floors, rank_by_name
from dim.evaluation.metrics import rank_gold
from dim.evaluation.protocols import Candidates, FullKB
from dim.search.lexical import NameIndex

NAMES = ["Ann Lee", "Ann Li", "Bob Stone", "Carl Sand", "Ann Leeson"]


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(
        tmp_path / "d",
        name="d",
        entities=pd.DataFrame({"id": list("abcde"), "name": NAMES}),
        texts={},
        mentions=pd.DataFrame(
            {
                "id": ["m0", "m1", "m2"],
                "split": "dev",
                "mention": ["Ann Lee", "Bob", "Ann"],
                "context": "",
                "entity_id": ["a", "c", None],
                "candidates": [["b", "a", "unknown", "b"], ["d"], None],
            }
        ),
    )


def gold_of(dataset):
    return torch.from_numpy(dataset.gold_rows(dataset.mentions))


def test_full_kb_ranks_against_everything_and_leaves_nil_without_a_rank(dataset):
    scores = torch.tensor([[0.9, 0.8, 0.1, 0.1, 0.2], [0.9, 0.8, 0.3, 0.1, 0.2], [0.5, 0.4, 0.3, 0.2, 0.1]])
    protocol = FullKB()
    ranked = protocol.rank(scores, gold_of(dataset), protocol.candidates(dataset, dataset.mentions))
    np.testing.assert_array_equal(ranked.ranks, [1, 3, np.nan])
    np.testing.assert_array_equal(ranked.hits, [True, True, False])
    assert ranked.rows[1].tolist() == [0, 1, 2, 4, 3]
    assert ranked.scores[1].tolist() == pytest.approx([0.9, 0.8, 0.3, 0.2, 0.1])


def test_a_gold_that_the_candidates_miss_is_missed(dataset):
    protocol = Candidates(source="released", size=3)
    candidates = protocol.candidates(dataset, dataset.mentions)
    assert candidates.tolist() == [[1, 0, -1], [3, -1, -1], [-1, -1, -1]]
    ranked = protocol.rank(torch.rand(3, 5, generator=torch.Generator().manual_seed(0)), gold_of(dataset), candidates)
    assert np.isnan(ranked.ranks[1])
    assert not ranked.hits[1]
    assert set(ranked.rows[0]) == {0, 1, -1}
    assert ranked.rows[2].tolist() == [-1, -1, -1]


def test_injected_golds_always_compete_and_win_ties_and_the_name_says_so(dataset):
    protocol = Candidates(source="released", size=2, inject_gold=True)
    candidates = protocol.candidates(dataset, dataset.mentions)
    assert candidates[1].tolist() == [3, 2]
    ranked = protocol.rank(torch.ones(3, 5), gold_of(dataset), candidates)
    assert ranked.ranks[:2].tolist() == [1, 1]
    assert ranked.ties[:2].tolist() == [1, 1]
    assert "gold injected" in protocol.name
    plain = Candidates(source="released", size=2).rank(torch.ones(3, 5), gold_of(dataset), candidates)
    assert plain.ranks[:2].tolist() == [2, 2]


def test_candidates_by_name_are_the_most_similar_names(dataset):
    candidates = Candidates(source="names", size=2).candidates(dataset, dataset.mentions)
    assert candidates[0].tolist() == [0, 4]
    assert candidates[1, 0] == 2


def test_released_candidates_that_are_not_there_are_an_error(tmp_path, dataset):
    dataset.mentions["candidates"] = None
    with pytest.raises(DataError, match=r"released candidates in d[\s\S]*source: names"):
        Candidates(source="released").candidates(dataset, dataset.mentions)


def test_the_floor_ranks_by_name_under_the_same_candidates(dataset):
    mentions = dataset.mentions["mention"].tolist()
    full = rank_by_name(NameIndex(NAMES), mentions, gold_of(dataset), FullKB(), None)
    np.testing.assert_array_equal(full.ranks, [1, 1, np.nan])
    limits = torch.tensor([[1, 0], [3, 4], [0, 1]])
    limited = rank_by_name(NameIndex(NAMES), mentions, gold_of(dataset), Candidates(), limits)
    np.testing.assert_array_equal(limited.ranks, [1, np.nan, np.nan])


def test_where_the_kb_has_aliases_a_second_floor_knows_them_under_the_same_candidates(tmp_path):
    entities = pd.DataFrame({"id": ["a", "b"], "name": ["Ann Bo", "Cleo Dan"]})
    mentions = pd.DataFrame({"id": ["m", "n"], "split": "dev", "mention": ["Annie", "The Queen"], "context": ""})
    mentions["entity_id"] = ["a", "b"]
    of = {"texts": {}, "mentions": mentions}
    golds = torch.tensor([0, 1])
    plain = write_dataset(tmp_path / "plain", name="plain", entities=entities, **of)
    asked = mentions["mention"].tolist()
    assert set(rank_by_floors(plain, asked, golds, FullKB(), None)) == {"floor"}
    entities["aliases"] = [[], ["Queen", " "]]
    named = write_dataset(tmp_path / "named", name="named", entities=entities, **of)
    floors = rank_by_floors(named, asked, golds, FullKB(), None)
    assert list(floors) == ["floor", "alias_floor"]
    np.testing.assert_array_equal(floors["floor"].ranks, [1, 2])  # no n-gram of hers is in a name: a tie
    np.testing.assert_array_equal(floors["alias_floor"].ranks, [1, 1])
    limited = rank_by_floors(named, asked, golds, Candidates(), torch.tensor([[1, 0], [0, -1]]))
    np.testing.assert_array_equal(limited["alias_floor"].ranks, [1, np.nan])


def test_ranks_over_candidates_agree_with_ranks_over_the_whole_kb(dataset):
    scores = torch.rand(64, 5, generator=torch.Generator().manual_seed(1))
    gold = torch.arange(64) % 5
    everyone = torch.stack([torch.randperm(5) for _ in range(64)])
    ranked = Candidates().rank(scores, gold, everyone)
    np.testing.assert_array_equal(ranked.ranks, rank_gold(scores, gold)[0].numpy())
