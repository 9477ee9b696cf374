from pathlib import Path

import pytest
from fake_drin import key, write_drin_wikidiverse, write_drin_wikimel
from releases import PEOPLE, row, write_json

from dim.errors import DataError
from dim.releases.drin import Drin
from dim.releases.found_images import look_up_images
from dim.releases.layouts import find_converter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_drin_wikimel(tmp_path / "wikimel")


def test_objects_and_arrays_of_rows_are_read(root: Path) -> None:
    assert find_converter(root).layout == "drin"
    release = Drin().read(root)
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}
    assert release.mentions["entity_id"].tolist() == [row(n)["answer"] for n in range(28)]
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert release.texts["brief"]["text"].tolist()[0] == "Sex: female. Number: Q100."
    assert release.texts["summary"]["text"].tolist()[0] == "Q100 is a scientist."


def test_the_hundred_candidates_of_a_mention_are_kept(root: Path) -> None:
    release = Drin().read(root)
    assert release.mentions["candidates"].tolist() == [[row(n)["answer"], "Q103"] for n in range(28)]
    assert "candidates that the KB lacks were left out: 28" in release.notes
    assert any(note.startswith("not read: candidates/top100/candidates.tsv") for note in release.notes)


def test_images_are_found_by_their_stem(root: Path) -> None:
    release = Drin().read(root)
    looked_up = look_up_images(release, None)
    assert looked_up.has_image.count(False) == 0
    assert release.mentions["images"].tolist()[6] == ["mentions/KVQAimgs/103.JPG"]
    images = dict(zip(release.entities["id"], release.entities["images"], strict=True))
    assert images["Q100"] == ["entities/cleaned-images/Q100.png"]
    assert images["Q107"] == []


def test_an_image_that_is_not_there_is_named(root: Path) -> None:
    (root / "mentions" / "KVQAimgs" / "100.jpg").unlink()
    release = Drin().read(root)
    assert look_up_images(release, None).problems.examples == {"no such file": ["mentions/KVQAimgs/100.jpg"]}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ({}, "found    none"),
        ([{"mentions": "x", "answer": "Q1"}], "found    no field 'id' in row 1"),
        ({key(0): {"mentions": ["x"], "answer": "Q1"}}, "found    an array as 'mentions' in row 1"),
    ],
)
def test_rows_of_another_shape_are_named(root: Path, rows: object, found: str) -> None:
    write_json(root / "mentions" / "WIKIMEL_train.json", rows)
    with pytest.raises(DataError, match=found):
        Drin().read(root)


def test_wikidiverse_is_read_out_of_its_folders(tmp_path: Path) -> None:
    root = write_drin_wikidiverse(tmp_path / "wikidiverse")
    assert find_converter(root).layout == "drin"
    release = Drin().read(root)
    assert release.mentions["split"].value_counts().to_dict()["train"] == 20
    assert release.mentions["candidates"].notna().all()
    assert len(release.texts["brief"]) > 0
    assert release.image_root == root / "images"
    assert "entities/entity2brief_train.json" in release.notes[-1]
