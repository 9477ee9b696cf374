from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audit_worlds import draw, mention_table, write_world

from dim.audit import audit_dataset
from dim.audit.findings import Audit
from dim.audit.overlap import find_shared


def audit_of(root: Path, mentions: pd.DataFrame) -> Audit:
    return audit_dataset(write_world(root, mentions))


def copy_row(mentions: pd.DataFrame, source: str, target: str, *columns: str) -> None:
    for column in columns:
        mentions.at[target, column] = mentions.at[source, column]


ROW = ("mention", "context", "images")


def test_a_row_that_stands_in_train_with_its_answer_is_a_leak(tmp_path: Path) -> None:
    mentions = mention_table()
    copy_row(mentions, "train-3", "dev-2", *ROW, "entity_id")
    audit = audit_of(tmp_path, mentions)
    found = audit.find("rows that stand in train too", "dev")
    assert (found.count, found.of, found.verdict) == (1, 8, "leak")
    assert found.figures == {"with_the_same_gold": 1, "with_other_golds_only": 0}
    assert found.examples == ("dev-2 ~ train-3",)
    marks = audit.rows.set_index("id")
    for mark in ("row_in_train", "caption_in_train", "image_in_train"):
        assert marks.index[marks[mark]].tolist() == ["dev-2"]
    assert audit.find("captions that stand in train too", "dev").verdict == "warning"
    assert audit.find("rows that stand in train too", "test").verdict == "ok"


@pytest.mark.parametrize(("column", "name"), [("context", "captions"), ("images", "images")])
def test_evidence_whose_sibling_never_has_the_own_gold_is_a_leak(tmp_path: Path, column: str, name: str) -> None:
    mentions = mention_table()
    for target in ("dev-0", "dev-1"):
        copy_row(mentions, "train-0", target, column)
    audit = audit_of(tmp_path, mentions)
    found = audit.find(f"{name} that stand in train too", "dev")
    assert (found.count, found.verdict) == (2, "leak")
    assert found.figures == {"with_the_same_gold": 0, "with_other_golds_only": 2}
    assert found.says == "The gold of the sibling in train is never the row's own: a model can rule it out."
    assert audit.find("rows that stand in train too", "dev").count == 0


def test_one_sibling_in_two_with_the_own_gold_is_a_warning(tmp_path: Path) -> None:
    mentions = mention_table()
    copy_row(mentions, "train-0", "dev-0", "context", "entity_id")
    copy_row(mentions, "train-1", "dev-1", "context")
    found = audit_of(tmp_path, mentions).find("captions that stand in train too", "dev")
    assert (found.count, found.verdict) == (2, "warning")
    assert "has the row's own gold in 1 of 2" in found.says


def test_a_few_siblings_with_the_own_gold_do_not_hide_the_leak(tmp_path: Path) -> None:
    blocks = [mention_table() for _ in range(3)]
    for number, block in enumerate(blocks):
        block["id"] = block["id"] + f"/{number}"
        block["context"] = block["context"] + f" {number}"
    mentions = pd.concat(blocks).set_index("id", drop=False)
    dev, train = (mentions.index[mentions["split"] == split] for split in ("dev", "train"))
    mentions.loc[dev, "context"] = mentions.loc[train, "context"].to_numpy()
    copy_row(mentions, train[0], dev[0], "entity_id")
    found = audit_of(tmp_path, mentions).find("captions that stand in train too", "dev")
    assert (found.count, found.verdict) == (24, "leak")
    assert "is the row's own in only 1 of 24" in found.says
    copy_row(mentions, train[1], dev[1], "entity_id")
    assert audit_of(tmp_path, mentions).find("captions that stand in train too", "dev").verdict == "warning"


def test_one_of_two_siblings_with_the_own_gold_does_not_rule_it_out(tmp_path: Path) -> None:
    mentions = mention_table()
    copy_row(mentions, "train-0", "dev-0", "context", "entity_id")
    copy_row(mentions, "train-0", "train-7", "context")
    found = audit_of(tmp_path, mentions).find("captions that stand in train too", "dev")
    assert found.figures == {"with_the_same_gold": 1, "with_other_golds_only": 0}


def test_nil_siblings_rule_nothing_out(tmp_path: Path) -> None:
    mentions = mention_table()
    copy_row(mentions, "train-0", "dev-0", "context")
    mentions.loc["train-0", "entity_id"] = None
    found = audit_of(tmp_path, mentions).find("captions that stand in train too", "dev")
    assert (found.count, found.verdict) == (1, "warning")
    assert found.figures == {"with_the_same_gold": 0, "with_other_golds_only": 0}


def test_tune_counts_as_train_and_test_is_compared_with_dev(tmp_path: Path) -> None:
    mentions = mention_table()
    copy_row(mentions, "train-0", "dev-0", "context")
    mentions.loc["train-0", "split"] = "tune"
    copy_row(mentions, "dev-5", "test-5", "images")
    audit = audit_of(tmp_path, mentions)
    assert audit.find("captions that stand in train too", "dev").examples == ("dev-0 ~ train-0",)
    found = audit.find("images that stand in dev too", "test")
    assert (found.count, found.examples, found.verdict) == (1, ("test-5 ~ dev-5",), "leak")


def test_spaces_do_not_hide_a_caption_and_empty_contexts_share_nothing(tmp_path: Path) -> None:
    mentions = mention_table()
    mentions.loc["dev-0", "context"] = "  " + mentions.loc["train-0", "context"].replace(" ", "  ")
    mentions.loc[["dev-1", "train-1"], "context"] = ""
    found = audit_of(tmp_path, mentions).find("captions that stand in train too", "dev")
    assert (found.count, found.of) == (1, 7)


def test_the_same_file_under_another_name_is_the_same_image(tmp_path: Path) -> None:
    folder, mentions = draw(tmp_path / "images"), mention_table()
    (folder / "m" / "dev3.png").write_bytes((folder / "m" / "train6.png").read_bytes())
    found = audit_of(tmp_path, mentions).find("images that stand in train too", "dev")
    assert found.examples == ("dev-3 ~ train-6",)


def test_two_regions_of_one_image_share_the_image_and_are_two_rows(tmp_path: Path) -> None:
    mentions = mention_table()
    copy_row(mentions, "train-0", "dev-0", "mention", "context")
    mentions.at["train-0", "images"] = ["m/train0.png#xywh=0,0,9,9"]
    mentions.at["dev-0", "images"] = ["m/train0.png#xywh=9,0,9,9"]
    audit = audit_of(tmp_path, mentions)
    assert audit.find("images that stand in train too", "dev").count == 1
    assert audit.find("rows that stand in train too", "dev").count == 0


def test_repeats_within_a_split_are_counted_with_those_that_change_the_answer(tmp_path: Path) -> None:
    mentions = mention_table()
    copy_row(mentions, "dev-0", "dev-2", *ROW, "entity_id")
    copy_row(mentions, "dev-0", "dev-3", *ROW)
    copy_row(mentions, "train-0", "train-4", *ROW, "entity_id")
    audit = audit_of(tmp_path, mentions)
    found = audit.find("rows that repeat a row of their split", "dev")
    assert (found.count, found.of, found.verdict) == (2, 8, "warning")
    assert found.figures == {"with_another_answer": 1}
    assert found.examples == ("dev-2 = dev-0", "dev-3 = dev-0")
    assert audit.find("rows that repeat a row of their split", "train").verdict == "note"
    marks = audit.rows.set_index("id")["duplicate"]
    assert marks.index[marks].tolist() == ["train-4", "dev-2"]


def test_a_bare_name_recurs_without_being_a_repeat(tmp_path: Path) -> None:
    mentions = mention_table()
    mentions["context"], mentions["images"] = "", [[] for _ in range(len(mentions))]
    audit = audit_of(tmp_path, mentions)
    assert audit.find("rows that repeat a row of their split", "dev").count == 0


def test_two_mentions_of_one_name_in_a_document_repeat_nothing(tmp_path: Path) -> None:
    mentions = mention_table()
    copy_row(mentions, "dev-0", "dev-1", *ROW)
    for target in ("dev-0", "dev-1"):
        mentions.at[target, "context"] = "Crowe met Crowe"
    assert audit_of(tmp_path / "untold", mentions).find("rows that repeat a row of their split", "dev").count == 1
    mentions["start"], mentions["end"] = pd.NA, pd.NA
    mentions.loc["dev-0", ["start", "end"]] = 0, 5
    mentions.loc["dev-1", ["start", "end"]] = 10, 15
    audit = audit_of(tmp_path / "told", mentions)
    assert audit.find("rows that repeat a row of their split", "dev").count == 0
    assert not audit.rows["duplicate"].any()


def test_of_several_golds_one_that_a_sibling_has_is_the_row_s_own_and_of_nil_nothing_is_ruled_out() -> None:
    keys = [("caption",)] * 4
    golds = [("Q1", "Q2"), (), ("Q2",), ("Q3",)]
    is_dev = np.array([True, True, False, False])
    shared = find_shared(keys, golds, is_dev, ~is_dev)
    assert shared.rows.tolist() == [True, True, False, False]
    assert shared.same_gold.tolist() == [True, False, False, False]
    assert not shared.other_gold.any()
    assert shared.partner == {0: 2, 1: 2}


def test_a_row_of_train_is_no_repeat_in_dev(tmp_path: Path) -> None:
    mentions = mention_table()
    copy_row(mentions, "train-3", "dev-2", *ROW, "entity_id")
    audit = audit_of(tmp_path, mentions)
    for split in ("train", "dev"):
        assert audit.find("rows that repeat a row of their split", split).count == 0
    assert not audit.rows["duplicate"].any()
