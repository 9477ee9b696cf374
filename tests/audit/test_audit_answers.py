from pathlib import Path

import pandas as pd
import pytest
from audit_worlds import entity_table, mention_table, write_world

from dim.audit import audit_dataset
from dim.data.dataset import write_dataset


@pytest.mark.parametrize(
    ("column", "value", "field", "verdict"),
    [
        ("id", "row/{gold}", "mention id", "leak"),
        ("images", ["{gold}/1.jpg"], "image path", "leak"),
        ("context", "see {gold}.", "context", "leak"),
        ("caption", "file {gold}", "caption", "leak"),
        ("attributes", '{{"key": "{gold}-0"}}', "attributes", "note"),
    ],
)
def test_a_field_that_names_the_answer_is_found(
    tmp_path: Path, column: str, value: str | list[str], field: str, verdict: str
) -> None:
    mentions = mention_table()
    for place in (0, 8, 9):
        gold = mentions["entity_id"].iloc[place]
        filled = [v.format(gold=gold.lower()) for v in value] if isinstance(value, list) else value.format(gold=gold)
        mentions.at[mentions.index[place], column] = filled
    audit = audit_dataset(write_world(tmp_path, mentions))
    found = audit.find(f"answer's id in the {field}")
    assert (found.count, found.of, found.verdict) == (3, 24, verdict)
    assert found.examples == tuple(mentions["id"].iloc[[0, 8, 9]])
    for other in {"mention id", "image path", "context", "caption", "attributes"} - {field}:
        assert audit.find(f"answer's id in the {other}").verdict == "ok"


def test_ids_that_are_small_numbers_are_held_against_chance(tmp_path: Path) -> None:
    entities, mentions = entity_table(), mention_table()
    number = {entity: str(n) for n, entity in enumerate(entities["id"])}
    entities["id"], mentions["entity_id"] = entities["id"].map(number), mentions["entity_id"].map(number)
    mentions["context"] = "in the years 0 1 5 6 10 11 15 16 20 21 25 26"
    audit = audit_dataset(write_world(tmp_path, mentions, entities))
    found = audit.find("answer's id in the context")
    assert (found.count, found.figures["by_chance"], found.verdict) == (24, 24, "note")


def test_an_id_that_is_the_name_is_no_leak(tmp_path: Path) -> None:
    entities = pd.DataFrame(
        {"id": ["Ada_Ashby", "Bea", "E3"], "name": ["Ada Ashby", "Beatrice", "Cid"], "aliases": [[], ["bea"], []]}
    )
    mentions = pd.DataFrame(
        {
            "id": ["m0", "m1", "m2"],
            "split": "dev",
            "mention": ["Ada", "Bea", "Cid"],
            "context": ["Ada_Ashby spoke", "Bea spoke", "Cid spoke"],
            "entity_id": ["Ada_Ashby", "Bea", "E3"],
        }
    )
    dataset = write_dataset(tmp_path / "d", name="d", entities=entities, texts={}, mentions=mentions)
    found = audit_dataset(dataset).find("answer's id in the context")
    assert (found.count, found.of, found.verdict) == (0, 1, "ok")


def test_a_kb_whose_ids_are_all_names_cannot_be_checked(tmp_path: Path) -> None:
    mentions = pd.DataFrame({"id": ["m"], "split": "dev", "mention": "Ada", "context": "Ada", "entity_id": "Ada"})
    entities = pd.DataFrame({"id": ["Ada", "Bea"], "name": ["Ada", "Bea"]})
    dataset = write_dataset(tmp_path / "d", name="d", entities=entities, texts={}, mentions=mentions)
    found = audit_dataset(dataset).find("answer's id in the context")
    assert found.says == "No row has an answer whose id differs from its name."


def test_an_id_that_is_the_name_but_for_hyphens_is_no_leak(tmp_path: Path) -> None:
    ids = ["High definition television", "Jean Luc Picard", "E3"]
    entities = pd.DataFrame({"id": ids, "name": ["High-definition television", "Jean-Luc_Picard", "Cid"]})
    contexts = ["High definition television sold", "Jean Luc Picard spoke", "Cid spoke"]
    mentions = pd.DataFrame({"id": ["m0", "m1", "m2"], "split": "dev", "mention": "he", "context": contexts})
    audit = audit_dataset(write_world(tmp_path, mentions.assign(entity_id=ids), entities))
    found = audit.find("answer's id in the context")
    assert (found.count, found.of, found.verdict) == (0, 1, "ok")
