from pathlib import Path

import pandas as pd
from audit_worlds import entity_table, mention_table, text_table, write_world

from dim.audit import audit_dataset
from dim.data.dataset import write_dataset


def test_golds_are_counted_in_the_kb_and_by_use(tmp_path: Path) -> None:
    audit = audit_dataset(write_world(tmp_path))
    found = audit.find("KB entities that are gold of some row")
    assert (found.count, found.of, found.verdict) == (12, 60, "ok")
    found = audit.find("golds that are gold of one row only")
    assert (found.count, found.of, found.verdict) == (0, 12, "ok")
    found = audit.find("golds seen in train", "dev")
    assert (found.count, found.of, found.verdict) == (0, 8, "ok")
    assert found.figures == {"train_golds": 4, "train_golds_share_of_kb": 0.066667}


def test_a_kb_of_answers_that_never_come_back_is_warned_of_three_times(tmp_path: Path) -> None:
    entities = entity_table().iloc[:16]
    mentions = mention_table()
    mentions = mentions[mentions["split"] != "test"]
    mentions["entity_id"] = entities["id"].to_numpy()
    audit = audit_dataset(write_world(tmp_path, mentions, entities))
    found = audit.find("KB entities that are gold of some row")
    assert (found.count, found.of, found.verdict) == (16, 16, "warning")
    assert "a lower bound" in found.says
    found = audit.find("golds that are gold of one row only")
    assert (found.count, found.of, found.verdict) == (16, 16, "warning")
    found = audit.find("golds seen in train", "dev")
    assert (found.count, found.of, found.verdict) == (0, 8, "warning")
    assert "50% of the KB can be ruled out" in found.says


def test_unseen_golds_are_a_note_where_a_tenth_of_the_kb_was_gold_in_train(tmp_path: Path) -> None:
    found = audit_dataset(write_world(tmp_path, entities=entity_table().iloc[:40])).find("golds seen in train", "dev")
    assert (found.count, found.verdict, found.figures["train_golds_share_of_kb"]) == (0, "note", 0.1)


def test_golds_seen_in_train_or_tune_are_a_note(tmp_path: Path) -> None:
    mentions = mention_table()
    mentions.loc[["dev-0", "dev-1"], "entity_id"] = ["E00", "E06"]
    mentions.loc[["train-0", "train-2"], "split"] = "tune"
    found = audit_dataset(write_world(tmp_path, mentions)).find("golds seen in train", "dev")
    assert (found.count, found.of, found.verdict, found.examples) == (2, 8, "note", ("dev-0", "dev-1"))


def test_what_the_kb_lacks_is_counted_by_text_and_image(tmp_path: Path) -> None:
    entities, texts = entity_table(), text_table()
    entities["images"] = [paths if n else [] for n, paths in enumerate(entities["images"])]
    short = texts.iloc[2:].copy()
    short.loc[5, "text"] = " "
    dataset = write_dataset(
        tmp_path / "d", name="d", entities=entities, texts={"brief": texts, "short": short}, mentions=mention_table()
    )
    audit = audit_dataset(dataset)
    assert audit.find("entities without text 'brief'").verdict == "ok"
    found = audit.find("entities without text 'short'")
    assert (found.count, found.of, found.verdict) == (3, 60, "warning")
    assert found.examples == ("E00", "E01", "E05")
    found = audit.find("entities without image")
    assert (found.count, found.verdict, found.examples) == (1, "note", ("E00",))


def test_shared_names_are_counted_without_case(tmp_path: Path) -> None:
    entities = entity_table()
    entities.loc[[10, 20], "name"] = ["Max Reed", "MAX REED "]
    found = audit_dataset(write_world(tmp_path, entities=entities)).find("entities whose name another entity bears")
    assert (found.count, found.of, found.verdict, found.examples) == (2, 60, "note", ("E10", "E20"))
    assert found.figures == {"names": 1, "rows_with_such_a_gold": 4}


def test_a_large_kb_without_a_shared_name_is_a_note(tmp_path: Path) -> None:
    entities = pd.DataFrame({"id": [f"E{n:02d}" for n in range(1000)], "name": [f"Name {n}" for n in range(1000)]})
    found = audit_dataset(write_world(tmp_path, entities=entities)).find("entities whose name another entity bears")
    assert (found.count, found.verdict) == (0, "note")
