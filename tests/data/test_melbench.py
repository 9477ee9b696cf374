from pathlib import Path

import pytest
from releases import PEOPLE, edit_json, row, write_json, write_melbench

from dim.errors import DataError
from dim.releases.caption_splits import NO_SPLIT
from dim.releases.layouts import find_converter
from dim.releases.melbench import UNEQUAL, MelBench
from dim.releases.prepare import open_dataset, prepare


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_melbench(tmp_path / "melbench")


def test_a_caption_with_two_mentions_becomes_two_rows_in_one_split(root: Path) -> None:
    release = MelBench().read(root)
    mentions = release.mentions
    assert release.name == "Wikidata-MEL"
    assert mentions["mention"].tolist()[:2] == ["Lovelace", "Turing"]
    assert mentions["entity_id"].tolist()[:2] == ["Q100", "Q101"]
    drawn = prepare(root, root.parent / "out", audit=False)
    assert drawn.meta["num_mentions"] == {"train": 22, "tune": 2, "dev": 2, "test": 2}
    assert (drawn.mentions.groupby("context")["split"].nunique() == 1).all()
    assert any("drawn by caption" in note for note in drawn.meta["notes"])


def test_the_kb_is_what_the_rows_name(root: Path) -> None:
    edit_json(
        root / "Wikidata-MEL.json",
        more={"sentence": "s", "mentions": ["x", "y"], "entities": ["The Countess", "?"], "answer": ["Q100", "nil"]},
    )
    entities = MelBench().read(root).entities
    assert entities["id"].tolist() == [f"Q{n}" for n in range(100, 108)]
    assert entities["name"].tolist() == list(PEOPLE)
    assert entities["aliases"].tolist()[0] == ["The Countess"]


def test_the_richpedia_file_has_strings_in_the_place_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "Richpedia-MEL.json"
    write_json(path, {row(n)["answer"]: row(n) for n in range(8)})
    mentions = MelBench().read(path).mentions
    assert mentions["mention"].tolist()[0] == "Lovelace"
    assert not mentions["id"].str.contains("Q").any()


def test_numbers_that_differ_skip_the_caption(root: Path) -> None:
    edit_json(root / "Wikidata-MEL.json", bad={"mentions": ["x", "y"], "entities": ["X"], "answer": ["Q1"]})
    release = MelBench().read(root)
    assert release.skipped.counts == {UNEQUAL: 1}
    assert release.skipped.examples[UNEQUAL] == ["Wikidata-MEL.json bad"]
    assert release.rows_read == 29
    assert "Q1" not in release.entities["id"].tolist()


def test_a_folder_with_both_files_asks_for_one(root: Path) -> None:
    write_json(root / "Richpedia-MEL.json", {})
    with pytest.raises(DataError, match=r"found    Richpedia-MEL\.json and Wikidata-MEL\.json\nto do    Name"):
        MelBench().read(root)


def test_a_folder_without_them_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found    none of them"):
        MelBench().read(tmp_path)


@pytest.mark.parametrize(("bad", "found"), [("text", "a string"), ({"mentions": [1]}, "a field that is no string")])
def test_a_row_of_another_shape_is_named(root: Path, bad: object, found: str) -> None:
    edit_json(root / "Wikidata-MEL.json", bad=bad)
    with pytest.raises(DataError, match=f"found    {found}.* at the key 'bad'"):
        MelBench().read(root)


def test_the_split_of_ghmfc_beside_it_is_used(root: Path) -> None:
    captions = [str(number) for number in range(0, 28, 2)]
    write_json(root / "splits.json", {"train": captions[:10], "test": captions[10:12], "dev": captions[12:]})
    release = MelBench().read(root)
    assert release.mentions["split"].tolist() == ["train"] * 20 + ["test"] * 4 + ["dev"] * 4
    assert "splits.json gives 20 / 4 / 4 rows in train / dev / test" in " ".join(release.notes)


def test_a_drawn_split_is_said_to_compare_with_no_paper(root: Path, tmp_path: Path) -> None:
    notes = " ".join(prepare(root, tmp_path / "dataset").meta["notes"])
    assert "compare with those of no paper" in notes
    assert "WikiMEL's own split is splits.json of GHMFC" in notes


def test_captions_without_a_split_are_counted_by_mention(root: Path) -> None:
    write_json(root / "splits.json", {"train": [str(number) for number in range(0, 26, 2)], "test": [], "dev": []})
    release = MelBench().read(root)
    assert release.skipped.counts == {NO_SPLIT: 2}
    assert release.rows_read == 28


def test_the_split_of_wikimel_beside_richpedia_is_an_error(tmp_path: Path) -> None:
    write_json(tmp_path / "Richpedia-MEL.json", {row(n)["answer"]: row(n) for n in range(8)})
    write_json(tmp_path / "splits.json", {"train": ["1"], "test": ["2"], "dev": ["3"]})
    with pytest.raises(DataError, match="found    none of them; the first is"):
        MelBench().read(tmp_path)


def test_weibo_is_read_like_the_others(tmp_path: Path) -> None:
    rows = {
        str(number): {
            "id": str(number),
            "sentence": f"刘德波在辽宁舰 {number}",
            "mentions": ["刘德波", "辽宁舰"],
            "entities": ["刘德波", "中国人民解放军海军辽宁舰"],
            "answer": ["a1", "a2"],
        }
        for number in range(6)
    }
    write_json(tmp_path / "Weibo-MEL.json", rows)
    assert MelBench().recognizes(tmp_path)
    release = MelBench().read(tmp_path)
    assert release.name == "Weibo-MEL"
    assert release.entities["name"].tolist() == ["刘德波", "中国人民解放军海军辽宁舰"]
    assert len(release.mentions) == 12


@pytest.mark.parametrize("folder", ["Wikidata-MEL", "Wikidata-MEL/Wikidata-MEL"])
def test_the_file_may_stand_below_the_root_of_the_repository(tmp_path: Path, folder: str) -> None:
    (tmp_path / "repository" / folder).parent.mkdir(parents=True)
    write_melbench(tmp_path / "repository" / folder)
    assert find_converter(tmp_path / "repository").layout == "melbench"
    assert len(MelBench().read(tmp_path / "repository").mentions) == 28


def test_a_repository_that_is_not_unpacked_is_told_the_command(tmp_path: Path) -> None:
    for dataset in ("Wikidata-MEL", "Richpedia-MEL"):
        (tmp_path / dataset).mkdir()
        (tmp_path / dataset / f"{dataset}.zip").write_bytes(b"PK")
    assert find_converter(tmp_path).layout == "melbench"
    with pytest.raises(DataError) as error:
        MelBench().read(tmp_path)
    assert f"unzip {tmp_path}/Wikidata-MEL/Wikidata-MEL.zip -d {tmp_path}/Wikidata-MEL" in str(error.value)
    assert f"unzip {tmp_path}/Richpedia-MEL/Richpedia-MEL.zip" in str(error.value)


def test_a_change_of_a_file_below_the_root_is_prepared_anew(tmp_path: Path) -> None:
    write_melbench(tmp_path / "repository" / "Wikidata-MEL")
    one = open_dataset(tmp_path / "repository", tmp_path / "cache")
    edit_json(tmp_path / "repository" / "Wikidata-MEL" / "Wikidata-MEL.json", **{"26": None})
    two = open_dataset(tmp_path / "repository", tmp_path / "cache")
    assert (len(one.mentions), len(two.mentions)) == (28, 26)


def test_a_split_file_that_comes_beside_the_named_file_is_prepared_anew(root: Path, tmp_path: Path) -> None:
    one = open_dataset(root / "Wikidata-MEL.json", tmp_path / "cache")
    write_json(root / "splits.json", {"train": [str(number) for number in range(0, 26, 2)], "test": [], "dev": []})
    two = open_dataset(root / "Wikidata-MEL.json", tmp_path / "cache")
    assert (len(one.mentions), len(two.mentions)) == (28, 26)
