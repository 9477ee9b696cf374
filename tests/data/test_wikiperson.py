from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_wikiperson import person, write_wikiperson
from releases import PEOPLE, qid, write_json

from dim.data.splits import carve_tune
from dim.encoders.tiny import TinyImageEncoder
from dim.errors import DataError
from dim.features.embed import embed_dataset
from dim.features.fields import Choices
from dim.releases.found_images import look_up_images
from dim.releases.layouts import find_converter
from dim.releases.mention_rows import UNKNOWN_ANSWER
from dim.releases.prepare import prepare
from dim.releases.wikiperson import NO_BOX, WikiPerson, parse_box


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_wikiperson(tmp_path / "wikiperson")


def test_a_mention_is_a_box_without_text(root: Path) -> None:
    assert WikiPerson().recognizes(root)
    release = WikiPerson().read(root)
    mentions = release.mentions
    assert mentions["mention"].tolist() == [""] * 24
    assert mentions["context"].tolist() == [""] * 24
    assert mentions["start"].isna().all()
    assert mentions["images"].tolist()[:2] == [
        ["images/0.jpg#xywh=0.25,8.5,30.5,31.5"],
        ["images/0.jpg#xywh=32.25,8.5,30.5,31.5"],
    ]
    assert mentions["entity_id"].tolist()[:2] == ["Q100", "Q101"]
    assert release.skipped.total == 0


def test_the_kb_has_names_descriptions_and_images(root: Path) -> None:
    release = WikiPerson().read(root)
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert release.texts["brief"]["text"].tolist()[2] == "scientist 2"
    assert release.entities["images"].tolist()[2] == ["IKB/Q102.jpg"]
    assert release.entities["attributes"].tolist()[2] == '{"lastrevid": 2}'
    found = look_up_images(release, None)
    problems, without = found.problems, found.has_image.count(False)
    assert without == 0
    assert problems.as_json() == {"no such file": {"count": 1, "examples": ["IKB/Q107.jpg"]}}


def test_the_kb_may_lie_in_its_own_folder(tmp_path: Path) -> None:
    root = write_wikiperson(tmp_path / "x", kb_folder="TKB")
    assert WikiPerson().recognizes(root)
    assert len(WikiPerson().read(root).entities) == 8


def test_train_and_dev_in_one_file_are_divided_by_image(root: Path) -> None:
    mentions = WikiPerson().read(root).mentions
    assert mentions["split"].value_counts().to_dict() == {"train": 18, "test": 4, "dev": 2}
    file = mentions["images"].map(lambda paths: paths[0].split("#")[0])
    assert (mentions.groupby(file)["split"].nunique() == 1).all()
    assert mentions["split"].tolist() == WikiPerson().read(root).mentions["split"].tolist()
    mentions["split"] = carve_tune(mentions)
    assert mentions["split"].value_counts().to_dict() == {"train": 16, "test": 4, "dev": 2, "tune": 2}
    assert (mentions.groupby(file)["split"].nunique() == 1).all()


@pytest.mark.parametrize("names", [("WIKIPerson_Train_V1.0", "WIKIPerson_Dev_V1.0"), ("train", "dev")])
def test_split_files_of_their_own_are_taken_as_they_are(root: Path, names: tuple[str, str]) -> None:
    (root / "WIKIPerson_Train_Dev.json").rename(root / f"{names[0]}.json")
    write_json(root / f"{names[1]}.json", [person(0), person(30)])
    (root / "WIKIPerson_Test.json").unlink()
    release = WikiPerson().read(root)
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 2}
    assert release.notes == [
        "mention rows that stand in two splits are kept: 1, first 'images/0.jpg#xywh=0.25,8.5,30.5,31.5' in dev; "
        "dim audit names them",
        "no file for test: that split is empty",
    ]


def test_rows_without_a_box_and_unknown_answers_are_skipped_and_counted(root: Path) -> None:
    boxes: list[Any] = [None, "face", "[1, 2, 3]", "[1, 2, 3, NaN]", [1, 2, 3, "4"], [1, 2, 3, 1e300], [9, 9, 60, 60]]
    rows = [person(40 + number, boundingbox=box) for number, box in enumerate(boxes)]
    write_json(root / "WIKIPerson_Test.json", [*rows, person(50, wikiid="Q1")])
    release = WikiPerson().read(root)
    assert release.skipped.counts == {NO_BOX: 6, UNKNOWN_ANSWER: 1}
    assert release.skipped.examples[NO_BOX][1] == "WIKIPerson_Test.json row 2: face"
    assert release.rows_read == 28
    assert release.mentions["images"].tolist()[-1] == ["images/23.jpg#xywh=9,9,51,51"]


def test_a_box_may_stick_out_and_one_without_area_stays_a_mention_whose_image_is_unusable(root: Path) -> None:
    write_json(
        root / "WIKIPerson_Test.json",
        [person(0, boundingbox="[-4.5, -1, 70, 80]"), person(1, boundingbox="[5, 5, 5, 9]")],
    )
    release = WikiPerson().read(root)
    assert release.mentions["images"].tolist()[-2:] == [
        ["images/0.jpg#xywh=-4.5,-1,74.5,81"],
        ["images/0.jpg#xywh=5,5,0,4"],
    ]
    assert parse_box("[5, 5, 4, 9]") == (5.0, 5.0, -1.0, 4.0)
    assert parse_box("[" * 100_000) is None


def test_integer_ids_and_entities_that_stand_twice(root: Path) -> None:
    kb = [{"id": number, "name": name, "description": None} for number, name in enumerate(PEOPLE)]
    write_json(root / "entity_12w.json", [*kb, {"id": "0", "name": "The Countess", "description": "poet"}])
    write_json(
        root / "WIKIPerson_Train_Dev.json", [person(0, wikiid="0"), person(1, wikiid=0), person(2, wikiid="nil")]
    )
    write_json(root / "WIKIPerson_Test.json", [])
    release = WikiPerson().read(root)
    assert release.mentions["entity_id"].tolist() == ["0", "0", None]
    assert release.entities["aliases"].tolist()[0] == ["The Countess"]
    assert release.texts["brief"].to_dict("records") == [{"entity_id": "0", "text": "poet"}]
    assert "merged (names become aliases): 1, first: 0 'The Countess'" in release.notes[0]


def test_without_image_folders_the_boxes_go_and_a_note_says_so(tmp_path: Path) -> None:
    release = WikiPerson().read(write_wikiperson(tmp_path / "x", images=False))
    found = look_up_images(release, None)
    assert found.has_image.count(False) == 24
    assert "text only" in found.said[1]
    with pytest.raises(DataError, match=r"found    none \(24 neither name, context nor usable image\)"):
        prepare(tmp_path / "x", tmp_path / "out")


def test_two_files_for_one_split_are_refused(root: Path) -> None:
    write_json(root / "train.json", [])
    with pytest.raises(DataError, match=r"found    WIKIPerson_Test.json, WIKIPerson_Train_Dev.json, train.json"):
        WikiPerson().read(root)


def test_a_folder_without_split_files_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "entity_12w.json", [])
    with pytest.raises(DataError, match="found    none"):
        WikiPerson().read(tmp_path)
    assert not WikiPerson().recognizes(tmp_path / "..")


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (7, "a number in row 1"),
        ({"wikiid": "Q1", "boundingbox": "[]"}, "no field 'image' in row 1"),
        ({"image": "0.jpg", "boundingbox": "[]"}, "no field 'wikiid' in row 1"),
        ({"image": "0.jpg", "wikiid": "Q1"}, "no field 'boundingbox' in row 1"),
        ({"image": ["0.jpg"], "wikiid": "Q1", "boundingbox": "[]"}, "an array as 'image' in row 1"),
    ],
)
def test_a_mention_of_another_shape_is_named(root: Path, bad: Any, found: str) -> None:
    write_json(root / "WIKIPerson_Test.json", [bad])
    with pytest.raises(DataError, match=found):
        WikiPerson().read(root)


def test_an_entity_of_another_shape_is_named(root: Path) -> None:
    write_json(root / "entity_12w.json", [{"name": qid(0)}])
    with pytest.raises(DataError, match="no field 'id' in row 1"):
        WikiPerson().read(root)
    write_json(root / "entity_12w.json", {"Q1": "x"})
    with pytest.raises(DataError, match=r"a JSON array in .*\nfound    an object"):
        WikiPerson().read(root)


def test_from_the_release_to_features_of_the_boxes(root: Path, tmp_path: Path) -> None:
    write_json(root / "WIKIPerson_Test.json", [person(20, boundingbox="[70, 70, 90, 90]"), person(21)])
    dataset = prepare(root, tmp_path / "dataset")
    assert dataset.meta["mentions_without_image"] == 0
    features = embed_dataset(
        dataset, Choices(image_encoder=TinyImageEncoder()), cache_dir=tmp_path / "cache", num_workers=0
    )
    image = features["image"]
    assert image.manifest["missing"] == {"empty region": 1}
    first, second, third = image.dense()[:3]
    # The two halves of an image differ as red and blue do; the left halves of two images are alike.
    assert not np.allclose(first, second, atol=0.1)
    assert np.allclose(first, third, atol=1e-3)


def test_the_repository_holds_test_rows_alone_and_is_told_what_it_lacks(tmp_path: Path) -> None:
    write_json(tmp_path / "WIKIPerson_Test.json", [person(number) for number in range(4)])
    assert find_converter(tmp_path).layout == "wikiperson"
    with pytest.raises(DataError, match=r"expected entity_12w\.json in .*\nfound    nothing of that name"):
        WikiPerson().read(tmp_path)
