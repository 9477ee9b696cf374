from pathlib import Path

import pytest
from fake_text_releases import shadow_row, write_shadowlink
from releases import PEOPLE, row, write_json

from dim.errors import DataError
from dim.releases.layouts import find_converter
from dim.releases.shadowlink import NO_PLACE, ShadowLink


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_shadowlink(tmp_path / "ShadowLink")


def test_the_three_files_are_one_test_split_by_type(root: Path) -> None:
    assert find_converter(root).layout == "shadowlink"
    release = ShadowLink().read(root)
    assert set(release.mentions["split"]) == {"test"}
    assert release.mentions["type"].value_counts().to_dict() == {"Top": 8, "Shadow": 8, "Tail": 8}
    assert release.mentions["mention"].tolist() == [row(number)["mentions"] for number in range(24)]
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert "the release is a test set: train and dev are empty" in release.notes


def test_a_start_of_minus_one_is_searched_for(root: Path) -> None:
    write_json(root / "Top.json", [shadow_row(0, span=[-1, 8])])
    mention = ShadowLink().read(root).mentions.iloc[0]
    assert (mention["mention"], mention["start"], mention["end"]) == ("Lovelace", 0, 8)


def test_a_mention_without_a_place_is_counted(root: Path) -> None:
    write_json(root / "Top.json", [shadow_row(0, span=[900, 8], entity_space_name="Byron"), shadow_row(1, span=[1])])
    release = ShadowLink().read(root)
    assert release.skipped.counts == {NO_PLACE: 1}
    assert release.skipped.examples[NO_PLACE] == ["Top.json row 1: [900, 8]"]


def test_a_row_of_another_shape_is_named(root: Path) -> None:
    write_json(root / "Tail.json", [{"example": "x"}])
    with pytest.raises(DataError, match=r"found    no field '\w+' in row 1"):
        ShadowLink().read(root)
