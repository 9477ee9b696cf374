from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from dim.data.dataset import write_dataset
from dim.methods.contrastive.negatives import MinedNegatives, NameNegatives, RareWordNegatives, RecentNegatives
from dim.search.scores import Products

NAMES = ["Ann Lee", "Ann Leeson", "Bob Stone", "Bob Stoner", "Carl Sand"]
TEXTS = ["a painter of fjords", "a singer of fjords", "a pilot", "a pilot", None]


@pytest.fixture
def data(tmp_path):
    dataset = write_dataset(
        tmp_path / "d",
        name="d",
        entities=pd.DataFrame({"id": list("abcde"), "name": NAMES}),
        texts={"brief": pd.DataFrame({"entity_id": list("abcde"), "text": TEXTS})},
        mentions=pd.DataFrame(
            {
                "id": ["m0", "m1", "m2"],
                "split": "train",
                "mention": ["Ann Lee", "Bob Stone", "Sand"],
                "entity_id": list("ace"),
            }
        ),
    )
    texts = dataset.texts("brief").tolist()
    return SimpleNamespace(dataset=dataset, texts=texts, gold=torch.from_numpy(dataset.gold_rows(dataset.mentions)))


ROWS = torch.tensor([2, 0, 1])


def draws(negatives, data, times=300):
    torch.manual_seed(0)
    return torch.stack([negatives.draw(ROWS, data.gold[ROWS]) for _ in range(times)])


def test_rare_words_draw_an_entity_that_shares_one_and_never_the_gold(data):
    negatives = RareWordNegatives(num_words=2, random=0.0)
    negatives.prepare(data, ROWS)
    drawn = draws(negatives, data)  # golds: e (no text), a (fjords), c (pilot)
    assert set(drawn[:, 0].tolist()) == {0, 1, 2, 3}
    # a's rarest words are "painter" (nobody else: at random) and "fjords" (b).
    assert (drawn[:, 1] == 1).float().mean() > 0.5
    assert set(drawn[:, 2].tolist()) == {3}
    assert not (drawn == data.gold[ROWS]).any()


def test_the_random_share_reaches_every_other_entity(data):
    negatives = RareWordNegatives(random=1.0)
    negatives.prepare(data, ROWS)
    drawn = draws(negatives, data)
    for column, gold in enumerate(data.gold[ROWS].tolist()):
        assert set(drawn[:, column].tolist()) == set(range(5)) - {gold}


def test_similar_names_are_drawn_without_the_gold(data):
    negatives = NameNegatives(pool=1)
    negatives.prepare(data, ROWS)
    assert draws(negatives, data)[:, 1:].unique(dim=0).tolist() == [[1, 3]]


def test_mined_negatives_are_what_the_model_ranks_high_and_wrong(data):
    negatives = MinedNegatives(pool=1, per_row=2)
    negatives.prepare(data, ROWS)
    entities = torch.eye(5)
    queries = torch.tensor([[0.0, 0.9, 0, 0, 1.0], [0.5, 0, 0.4, 0, 0], [0, 0, 0.1, 0.2, 0]])
    negatives.refresh(lambda: [Products(part, entities) for part in queries.split(2)])
    assert draws(negatives, data, times=1).tolist() == [[1, 1, 2, 2, 3, 3]]


def test_recent_negatives_are_the_golds_of_the_last_batches_but_for_this_ones(data):
    negatives = RecentNegatives(num_batches=2)
    negatives.prepare(data, ROWS)
    negatives.refresh(lambda: pytest.fail("they need no vectors"))
    batches = [torch.tensor(golds) for golds in ([0, 1], [1, 2], [3, 0], [4, 4])]
    drawn = [negatives.draw(torch.arange(2), golds).tolist() for golds in batches]
    assert drawn == [[], [0], [1, 2], [0, 1, 2, 3]]
    negatives.refresh(lambda: pytest.fail("they need no vectors"))
    assert negatives.draw(torch.arange(2), batches[0]).tolist() == []
