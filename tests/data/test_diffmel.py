from pathlib import Path

import pytest
from fake_diffmel import diffmel_row, write_diffmel
from fake_fissfuse import write_lines
from releases import PEOPLE, write_json

from dim.errors import DataError
from dim.releases.diffmel import DiffMel
from dim.releases.found_images import look_up_images
from dim.releases.layouts import find_converter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_diffmel(tmp_path / "DiffMEL")


def test_rows_and_the_texts_of_their_candidates_are_read(root: Path) -> None:
    assert find_converter(root).layout == "diffmel"
    release = DiffMel().read(root)
    assert release.mentions["entity_id"].tolist() == [f"Q{100 + n % 8}" for n in range(24)]
    assert release.mentions["type"].tolist()[:3] == ["0", "1", "2"]
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert release.texts["brief"]["text"].tolist() == [f"scientist {n}" for n in range(8)]


def test_the_order_of_the_candidates_no_longer_tells_the_answer(root: Path) -> None:
    lists = DiffMel().read(root).mentions["candidates"].tolist()
    assert all(of == sorted(of) and len(of) == 3 for of in lists)


def test_the_images_of_entities_and_mentions_are_there(root: Path) -> None:
    release = DiffMel().read(root)
    looked_up = look_up_images(release, None)
    assert looked_up.has_image.count(False) == 0
    assert not looked_up.problems.counts
    assert release.mentions["images"].tolist()[0] == ["images/Ada Lovelace-Q100/Q100.jpg"]


def test_what_flatters_a_figure_is_said(root: Path) -> None:
    notes = " ".join(DiffMel().read(root).notes)
    for said in ("name of its answer", "that of its answer in the KB", "mostly first"):
        assert said in notes


def test_files_that_are_called_like_splits_are_splits(tmp_path: Path) -> None:
    for split, numbers in {"train": range(16), "valid": range(16, 20), "test": range(20, 24)}.items():
        write_lines(tmp_path / f"{split}.jsonl", [diffmel_row(number) for number in numbers])
    release = DiffMel().read(tmp_path)
    assert release.mentions["split"].value_counts().to_dict() == {"train": 16, "dev": 4, "test": 4}


def test_a_candidate_of_another_shape_is_named(root: Path) -> None:
    write_json(root / "people.json", [diffmel_row(0) | {"candidates": [{"Qid": 3, "name": "x"}]}])
    with pytest.raises(DataError, match="found    a number as 'Qid' in row 1"):
        DiffMel().read(root)
