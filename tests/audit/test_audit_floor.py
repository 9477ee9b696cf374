from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from audit_worlds import FIRST_NAMES, SURNAMES, mention_table, write_world

from dim.audit import audit_dataset, floor
from dim.audit.floor import FLOOR, WITH_ALIASES, floor_ranks, used_up
from dim.audit.rows import Rows
from dim.data.dataset import Dataset, write_dataset
from dim.evaluation.floor import rank_by_name
from dim.evaluation.metrics import rank_gold
from dim.evaluation.protocols import FullKB
from dim.search.lexical import NameIndex


def stones(root: Path, split_of_rob: str = "train") -> Dataset:
    """Bob and Rob are as near to "Stone" as each other, so the tie counts against Bob."""
    entities = pd.DataFrame({"id": ["b", "r", "c", "x"], "name": ["Bob Stone", "Rob Stone", "Carl Sand", "Max Reed"]})
    mentions = pd.DataFrame(
        {
            "id": ["t", "d1", "d2", "d3", "n"],
            "split": [split_of_rob, "dev", "dev", "dev", "dev"],
            "mention": ["Rob", "Stone", "Carl Sand", "Reed", "Nobody"],
            "context": ["", "x", "y", "z", "w"],
            "entity_id": ["r", "b", "c", "c", None],
        }
    )
    return write_dataset(root / "d", name="d", entities=entities, texts={}, mentions=mentions)


@pytest.mark.parametrize("split_of_rob", ["train", "tune"])
def test_the_floor_by_hand_with_and_without_the_golds_of_train(tmp_path: Path, split_of_rob: str) -> None:
    audit = audit_dataset(stones(tmp_path, split_of_rob))
    found = audit.find("string floor (Top-1)", "dev")
    assert (found.count, found.of, found.examples, found.verdict) == (1, 3, ("d2",), "ok")
    without = audit.find("string floor without the golds of train", "dev")
    assert (without.count, without.of, without.verdict) == (2, 3, "warning")
    assert without.figures == {"rise": 0.333333, "kb_size": 3}
    assert "knows which golds of train do not come back gains 33.3 points" in without.says
    ranks = audit.rows.set_index("id")["floor_rank"]
    assert ranks["d1"] == 2
    assert ranks["d2"] == 1
    assert ranks["d3"] > 1
    assert ranks[["t", "n"]].isna().all()


def test_aliases_have_a_floor_of_their_own_beside_that_of_names(tmp_path: Path) -> None:
    before = audit_dataset(stones(tmp_path))
    assert not any(finding.name == WITH_ALIASES for finding in before.findings)
    dataset = stones(tmp_path / "with")
    entities = dataset.entities.assign(aliases=[["Stone"], [], ["Reed"], []])
    named = write_dataset(tmp_path / "n", name="n", entities=entities, texts={}, mentions=dataset.mentions)
    audit = audit_dataset(named)
    found = audit.find(WITH_ALIASES, "dev")
    assert (found.count, found.of, found.verdict) == (3, 3, "note")
    assert found.says.startswith("A name or an alias answers most rows")
    for name in (FLOOR, "string floor without the golds of train"):
        assert audit.find(name, "dev") == before.find(name, "dev")
    assert audit.rows["floor_rank"].equals(before.rows["floor_rank"])


def test_a_gold_of_train_that_is_also_gold_here_stays(tmp_path: Path) -> None:
    dataset = stones(tmp_path)
    mentions = dataset.mentions
    mentions.loc[mentions["id"] == "d3", "entity_id"] = "r"
    assert not used_up(Rows.of(dataset), "dev", dataset.entities["id"].tolist()).any()
    assert audit_dataset(dataset).find("string floor without the golds of train", "dev").figures["rise"] == 0


def test_a_floor_of_four_fifths_is_a_note(tmp_path: Path) -> None:
    mentions = mention_table()
    names = [f"{FIRST_NAMES[int(gold[1:]) % 5]} {SURNAMES[int(gold[1:]) // 5]}" for gold in mentions["entity_id"]]
    mentions["mention"] = names
    audit = audit_dataset(write_world(tmp_path, mentions))
    found = audit.find("string floor (Top-1)", "dev")
    assert (found.count, found.of, found.verdict) == (8, 8, "note")


@pytest.mark.parametrize("max_cells", [pytest.param(2**25, marks=pytest.mark.long), 200])
def test_ranks_are_those_of_rank_by_name_in_blocks_of_any_size(max_cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "MAX_CELLS", max_cells)
    rng = np.random.default_rng(0)
    names = [f"{first} {last}" for first in FIRST_NAMES for last in SURNAMES]
    gold = rng.integers(-1, len(names), 300)
    mentions = [
        names[row].split()[rng.integers(2)] if rng.random() < 0.5 else names[row] for row in np.where(gold < 0, 0, gold)
    ]
    out = np.ones(len(names), dtype=bool)
    out[gold[gold >= 0]] = False
    out[:5] = False
    whole, without = floor_ranks(NameIndex(names), mentions, gold[:, None], out)
    expected = rank_by_name(NameIndex(names), mentions, torch.from_numpy(gold), FullKB(), None)
    np.testing.assert_array_equal(whole, expected.ranks)
    for row in np.flatnonzero(gold >= 0):
        scores = NameIndex(names).scores([mentions[row]]).whole()
        place = int((~out)[: gold[row]].sum())
        rank = rank_gold(scores[:, torch.from_numpy(~out)], torch.tensor([place]))[0]
        assert without[row] == rank.item()


def test_a_kb_without_names_has_no_floor(tmp_path: Path) -> None:
    entities = pd.DataFrame({"id": ["a", "b"], "name": ["", " "]})
    mentions = pd.DataFrame({"id": ["m"], "split": "dev", "mention": "A", "context": "", "entity_id": "a"})
    audit = audit_dataset(write_dataset(tmp_path / "d", name="d", entities=entities, texts={}, mentions=mentions))
    assert audit.find("string floor (Top-1)", "dev").says == "No entity has a name."
    assert audit.find("entities without name").count == 2


def test_of_several_golds_the_best_is_ranked_and_no_gold_is_ruled_out(tmp_path: Path) -> None:
    entities = pd.DataFrame({"id": list("abcd"), "name": ["Ann Lee", "Ann Lee", "Ann Lee", "Bob Stone"]})
    mentions = pd.DataFrame(
        {
            "id": ["t", "d0", "d1"],
            "split": ["train", "dev", "dev"],
            "mention": ["Ann Lee"] * 3,
            "context": ["one", "two", "three"],
            "entity_id": ["c", "d", "d"],
            "other_golds": [["b"], ["a", "b"], ["a", "b", "c"]],
        }
    )
    dataset = write_dataset(tmp_path / "d", name="d", entities=entities, texts={}, mentions=mentions)
    audit = audit_dataset(dataset)
    assert audit.rows["floor_rank"].tolist()[1:] == [2, 1]
    assert audit.find("KB entities that are gold of some row").count == 4
    assert audit.find("golds seen in train", "dev").count == 2
    assert used_up(Rows.of(dataset), "dev", list("abcd")).tolist() == [False] * 4
    assert used_up(Rows.of(dataset), "train", list("abcd")).tolist() == [False] * 4
