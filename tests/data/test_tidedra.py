from pathlib import Path

import pytest
from fake_tidedra import kg, tidedra_row, write_tidedra
from releases import PEOPLE, row, write_json

from dim.errors import DataError
from dim.releases.found_images import look_up_images
from dim.releases.layouts import find_converter
from dim.releases.tidedra import TideDra


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tidedra(tmp_path / "KVQA")


def test_rows_and_answers_are_read(root: Path) -> None:
    assert find_converter(root).layout == "tidedra"
    release = TideDra().read(root)
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}
    assert release.mentions["entity_id"].tolist()[:2] == ["Q100", "Q101"]
    assert release.entities["id"].tolist() == [f"Q{100 + number}" for number in range(8)]
    assert release.entities["name"].tolist() == list(PEOPLE)


def test_facts_become_a_text(root: Path) -> None:
    texts = TideDra().read(root).texts["brief"].set_index("entity_id")["text"]
    assert texts["Q100"] == "Sex: female. Occupation: scientist 0, writer. Birth: 1815, London."
    assert texts["Q107"] == "British computer scientist"


def test_what_has_no_name_is_left_out_and_said(root: Path) -> None:
    release = TideDra().read(root)
    assert "Q999" not in release.entities["id"].tolist()
    assert "entities of KG.json that are no answer have no name and are left out: 1" in release.notes
    assert any("made of the answers alone" in note for note in release.notes)


def test_lists_that_never_hold_the_answer_are_no_candidates_and_that_is_said(root: Path) -> None:
    release = TideDra().read(root)
    assert release.mentions["candidates"].isna().all()
    assert any("candidates of 28 rows are not kept: none of these lists holds its answer" in n for n in release.notes)


def test_lists_that_hold_the_answer_are_kept(root: Path) -> None:
    rows = {row(n)["id"]: tidedra_row(n) | {"candidates": ["Q999", row(n)["answer"]]} for n in range(20, 24)}
    write_json(root / "dev_v2.json", rows)
    release = TideDra().read(root)
    dev = release.mentions[release.mentions["split"] == "dev"]
    assert dev["candidates"].tolist() == [[answer] for answer in dev["entity_id"]]
    assert any("candidates that the KB lacks were left out" in note for note in release.notes)


def test_images_are_found_by_their_name_whatever_folder_the_row_says(root: Path) -> None:
    release = TideDra().read(root)
    looked_up = look_up_images(release, None)
    assert release.mentions["images"].tolist()[:3] == [["0.jpg"], ["0.jpg"], ["1.jpg"]]
    assert looked_up.has_image.count(False) == 0


def test_the_richpedia_files_have_names_of_their_own(tmp_path: Path) -> None:
    root = write_tidedra(tmp_path / "rich", "Richpedia-MELv2_{}.json", "Richpedia-KG.json")
    (root / "Richpedia-MELv2_dev.json").rename(root / "Richpedia-MELv2_val.json")
    release = TideDra().read(root)
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}


def test_without_facts_there_is_no_text_and_that_is_said(root: Path) -> None:
    (root / "KG.json").unlink()
    release = TideDra().read(root)
    assert release.texts == {}
    assert any("the entities have no text" in note for note in release.notes)


def test_facts_of_another_shape_are_named(root: Path) -> None:
    write_json(root / "KG.json", kg() | {"Q100": [1]})
    with pytest.raises(DataError, match="found    an array for Q100"):
        TideDra().read(root)
