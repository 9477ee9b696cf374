from pathlib import Path

import pytest
from fake_ghmfc import caption_splits, nel_rows, write_ghmfc
from releases import PEOPLE, edit_json, write_json

from dim.errors import DataError
from dim.releases import caption_splits as official
from dim.releases.caption_splits import NO_SPLIT
from dim.releases.dim_release import DimRelease
from dim.releases.found_images import look_up_images
from dim.releases.ghmfc import Ghmfc
from dim.releases.layouts import find_converter
from dim.releases.prepare import prepare


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_ghmfc(tmp_path / "WikiMEL")


def test_each_caption_has_the_split_that_the_file_gives_it(root: Path) -> None:
    release = Ghmfc().read(root)
    given = {caption: split for split, captions in caption_splits().items() for caption in captions}
    rows = nel_rows()
    assert release.mentions["split"].tolist() == [given[item["id"]] for item in rows.values()]
    assert release.mentions["mention"].tolist() == [item["mentions"] for item in rows.values()]
    assert release.mentions["entity_id"].tolist() == [item["answer"] for item in rows.values()]
    assert release.mentions["id"].tolist()[:2] == ["train-000000", "train-000001"]
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert len(release.texts["brief"]) == len(PEOPLE)


def test_it_goes_before_the_dim_layout_which_has_the_same_files_of_names(root: Path) -> None:
    assert find_converter(root).layout == "ghmfc"
    assert find_converter(root / "input_data").layout == "ghmfc"


def test_the_image_of_a_caption_is_called_by_its_id(root: Path) -> None:
    release = Ghmfc().read(root)
    looked_up = look_up_images(release, None)
    assert release.image_root == root / "images"
    assert release.mentions["images"].tolist()[:3] == [["100.jpg"], ["100.jpg"], ["101.jpg"]]
    assert looked_up.has_image.count(False) == 0
    assert not looked_up.problems.counts


def test_sizes_other_than_the_official_ones_are_said(root: Path) -> None:
    assert "splits.json gives 20 / 4 / 4 rows in train / dev / test" in " ".join(Ghmfc().read(root).notes)


def test_the_official_sizes_are_said_to_be_official(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "OFFICIAL_SIZES", {"train": 20, "dev": 4, "test": 4})
    assert Ghmfc().read(root).notes == [
        "the split is the official one of WikiMEL (splits.json): 20 / 4 / 4 rows",
    ]


def test_without_splits_a_draw_is_said_to_compare_with_no_paper(tmp_path: Path) -> None:
    dataset = prepare(write_ghmfc(tmp_path / "WikiMEL", splits=False), tmp_path / "dataset", max_missing_images=1)
    assert {"train", "dev", "test"} <= set(dataset.mentions["split"])
    assert "compare with those of no paper" in " ".join(dataset.meta["notes"])


def test_a_caption_in_no_split_is_counted(root: Path) -> None:
    edit_json(root / "input_data" / "splits.json", dev=["112"])
    release = Ghmfc().read(root)
    assert release.skipped.counts == {NO_SPLIT: 2}
    assert release.skipped.examples[NO_SPLIT] == ["nel_121.json 113-0", "nel_121.json 113-1"]
    assert release.rows_read == 28


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"dev": ["100"]}, "found    100 in train and dev"),
        ({"dev": "112"}, "found    a string for 'dev'"),
        ({"extra": []}, "found    an array for 'extra'"),
        ({"dev": [None]}, "found    null in dev"),
        ({"train": [], "dev": [], "test": ["9"]}, "found    none of them; the first is '100'"),
    ],
)
def test_a_split_file_of_another_shape_or_dataset_is_refused(root: Path, changes: dict, found: str) -> None:
    edit_json(root / "input_data" / "splits.json", **changes)
    with pytest.raises(DataError, match=found):
        Ghmfc().read(root)


def test_search_candidates_are_kept_and_unknown_ones_counted(root: Path) -> None:
    write_json(root / "input_data" / "search_top100.json", {"Turing": ["Q101", "Q100", "Q999"]})
    release = Ghmfc().read(root)
    turing = release.mentions[release.mentions["mention"] == "Turing"]
    assert turing["candidates"].tolist()[0] == ["Q101", "Q100"]
    assert "candidates that the KB lacks were left out: 1" in release.notes


def test_of_two_files_of_one_text_the_same_counts_as_in_the_dim_layout(root: Path) -> None:
    files = root / "input_data"
    write_json(files / "brief.json", {"Q100": "from brief.json"})
    write_json(files / "train.json", nel_rows())
    texts = [converter.read(folder).texts for converter, folder in ((Ghmfc(), root), (DimRelease(), files))]
    assert [of["brief"]["text"].tolist() for of in texts] == [["from brief.json"]] * 2


def test_names_before_texts_are_those_of_entities_without_one(root: Path) -> None:
    write_json(root / "input_data" / "qids_ordered.json", ["Q100", "Q7"])
    write_json(root / "input_data" / "qid2abs.json", {"Q7": "Ludwig [SEP]. A philosopher."})
    release = Ghmfc().read(root)
    assert release.entities["name"].tolist() == [PEOPLE[0], "Ludwig"]
    assert release.texts["brief"].to_numpy().tolist() == [["Q7", "A philosopher."]]
    assert any("names that stand before texts" in note for note in release.notes)
