import pandas as pd
import pytest
import torch

from dim.data.dataset import write_dataset
from dim.errors import ConfigError
from dim.evaluation.protocols import FullKB
from dim.methods.contrastive.negatives import (
    MinedNegatives,
    NameNegatives,
    RareWordNegatives,
    RecentNegatives,
    SeveralNegatives,
)
from dim.search.scores import Products
from dim.training.datamodule import LinkingData

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
    return LinkingData(
        dataset=dataset,
        mention_fields={},
        entity_fields={},
        gold=torch.from_numpy(dataset.gold_rows(dataset.mentions)),
        candidates=None,
        protocol=FullKB(),
        read_texts=lambda: texts,
        fingerprints={},
    )


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


def test_several_sources_draw_one_after_the_other_and_the_kb_is_scored_once(data):
    queries, asked = torch.tensor([[0.0, 0.9, 0, 0, 1.0], [0.5, 0, 0.4, 0, 0], [0, 0, 0.1, 0.2, 0]]), []
    several = SeveralNegatives([NameNegatives(pool=1), MinedNegatives(pool=1), MinedNegatives(pool=1)])
    several.prepare(data, ROWS)
    several.refresh(lambda: asked.append(1) or [Products(queries, torch.eye(5))])
    drawn = draws(several, data)
    assert drawn[:, 1:3].unique(dim=0).tolist() == [[1, 3]]
    assert drawn[:, 3:].unique(dim=0).tolist() == [[1, 2, 3, 1, 2, 3]]
    assert asked == [1]
    with pytest.raises(ConfigError, match="at least one source of negatives"):
        SeveralNegatives([])


OTHERS = torch.tensor([[1, -1], [3, 4], [-1, -1]])  # of a, c and e


@pytest.mark.parametrize(
    "negatives",
    [
        RareWordNegatives(num_words=2, random=0.0),
        RareWordNegatives(random=1.0),
        NameNegatives(pool=2),
        MinedNegatives(pool=2),
    ],
    ids=["rare words", "at random", "names", "mined"],
)
def test_no_gold_of_a_mention_is_drawn_for_it(data, negatives):
    data.other_golds = OTHERS
    negatives.prepare(data, ROWS)
    queries = torch.tensor([[0.0, 0.9, 0, 0, 1.0], [0.5, 0.7, 0.4, 0, 0], [0, 0, 0.1, 0.2, 0.3]])
    negatives.refresh(lambda: [Products(queries, torch.eye(5))])
    drawn = draws(negatives, data)
    for column, golds in enumerate([[4], [0, 1], [2, 3, 4]]):
        assert set(drawn[:, column].tolist()) <= set(range(5)) - set(golds)


def test_without_several_golds_the_same_is_drawn(data):
    for negatives in (RareWordNegatives(), NameNegatives(pool=2)):
        negatives.prepare(data, ROWS)
        before = draws(negatives, data)
        data.other_golds = torch.full((3, 1), -1)
        negatives.prepare(data, ROWS)
        assert torch.equal(draws(negatives, data), before)
        data.other_golds = None


def test_a_kb_that_is_all_golds_has_no_negatives(data):
    data.other_golds = torch.tensor([[1, 2, 3, 4], [-1] * 4, [-1] * 4])
    with pytest.raises(ConfigError, match="more entities than a mention has golds"):
        NameNegatives(pool=2).prepare(data, ROWS)
