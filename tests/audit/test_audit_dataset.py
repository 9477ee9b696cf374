import json
from pathlib import Path

import pytest
from audit_worlds import draw, entity_table, mention_table, text_table, write_world

from dim.audit import audit_dataset
from dim.data.dataset import write_dataset
from dim.errors import ConfigError


def test_a_dataset_without_a_flaw_is_ok_throughout(tmp_path: Path) -> None:
    draw(tmp_path / "images")
    audit = audit_dataset(write_world(tmp_path))
    assert {(f.name, f.split): f.verdict for f in audit.findings if f.verdict != "ok"} == {}
    assert audit.splits == ("dev", "test")
    assert len(audit.findings) == 4 + 4 + 5 + 9 + 3 + 4 + 4  # one line a check and split
    assert (
        not audit.rows[["duplicate", "row_in_train", "caption_in_train", "image_in_train", "image_leak"]]
        .to_numpy()
        .any()
    )


def test_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit_dataset(write_world(tmp_path))
    assert capsys.readouterr() == ("", "")


def test_what_the_data_cannot_tell_is_not_checked_with_a_reason(tmp_path: Path) -> None:
    mentions, entities = mention_table(), entity_table()
    mentions = mentions[mentions["split"] == "dev"].drop(columns=["images", "caption", "attributes"])
    dataset = write_dataset(
        tmp_path / "d", name="d", entities=entities.drop(columns="images"), texts={}, mentions=mentions
    )
    audit = audit_dataset(dataset)
    said = {f.name: f.says for f in audit.findings if f.verdict == "not checked"}
    assert said == {
        "string floor without the golds of train": "No row is in train.",
        "golds seen in train": "No row of train has an answer in the KB.",
        "answer's id in the image path": "No row with an answer has one (image path).",
        "answer's id in the caption": "No row with an answer has one (caption).",
        "answer's id in the attributes": "No row with an answer has one (attributes).",
        "rows that stand in train too": "No row is in train.",
        "captions that stand in train too": "No row is in train.",
        "images that stand in train too": "No row is in train.",
        "image files that cannot be read": "No mention names an image.",
        "image is a duplicate of the gold's image": "No mention of this split names an image.",
        "entities without text": "The dataset has no entity text.",
        "entities without image": "No entity of the KB has an image.",
    }


@pytest.mark.parametrize("kept", [0, 3])
def test_a_dataset_of_nil_rows_or_of_none_is_audited(tmp_path: Path, kept: int) -> None:
    mentions = mention_table().iloc[8 : 8 + kept]
    mentions["entity_id"] = None
    dataset = write_dataset(
        tmp_path / "d", name="d", entities=entity_table(), texts={"brief": text_table()}, mentions=mentions
    )
    audit = audit_dataset(dataset)
    assert audit.find("KB entities that are gold of some row").count == 0
    assert audit.find("golds that are gold of one row only").verdict == "not checked"
    assert audit.splits == (("dev",) if kept else ())
    if kept:
        assert audit.find("string floor (Top-1)", "dev").verdict == "not checked"


def test_tune_is_audited_against_the_rest_of_train_on_request(tmp_path: Path) -> None:
    mentions = mention_table()
    mentions.loc[["train-0", "train-4"], "split"] = "tune"
    mentions.loc["train-0", "context"] = mentions.loc["train-1", "context"]
    dataset = write_world(tmp_path, mentions)
    assert audit_dataset(dataset).splits == ("dev", "test")
    audit = audit_dataset(dataset, with_tune=True)
    assert audit.splits == ("tune", "dev", "test")
    found = audit.find("captions that stand in train too", "tune")
    assert (found.count, found.of, found.examples) == (1, 2, ("train-0 ~ train-1",))
    assert audit.find("captions that stand in train too", "dev").count == 0


def test_the_json_is_the_same_every_time_and_names_what_it_is_about(tmp_path: Path) -> None:
    draw(tmp_path / "images")
    dataset = write_world(tmp_path)
    document = audit_dataset(dataset, image_distance=6).as_json()
    again = audit_dataset(dataset, image_distance=6).as_json()
    assert json.dumps(document) == json.dumps(again)
    assert json.loads(json.dumps(document)) == document
    assert document["audit_version"] == 1
    assert (document["dataset_hash"], document["kb_hash"]) == (dataset.hash, dataset.kb_hash)
    assert document["thresholds"]["image_distance"] == 6
    assert document["findings"][0]["name"] == "string floor (Top-1)"


@pytest.mark.parametrize("distance", [-1, 65])
def test_a_distance_beyond_64_bits_is_refused(tmp_path: Path, distance: int) -> None:
    with pytest.raises(ConfigError, match="an image distance from 0 to 64 bits"):
        audit_dataset(write_world(tmp_path), image_distance=distance)


def test_an_unknown_finding_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        audit_dataset(write_world(tmp_path)).find("string floor (Top-1)", "tune")
