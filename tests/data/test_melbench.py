from pathlib import Path

import pytest
from releases import PEOPLE, edit_json, row, write_json, write_melbench

from dim.errors import DataError
from dim.releases.melbench import UNEQUAL, MelBench
from dim.releases.prepare import prepare


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
    with pytest.raises(DataError, match="found    both\nto do    Name the file itself"):
        MelBench().read(root)


def test_a_folder_without_them_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found    neither"):
        MelBench().read(tmp_path)


@pytest.mark.parametrize(("bad", "found"), [("text", "a string"), ({"mentions": [1]}, "a field that is no string")])
def test_a_row_of_another_shape_is_named(root: Path, bad: object, found: str) -> None:
    edit_json(root / "Wikidata-MEL.json", bad=bad)
    with pytest.raises(DataError, match=f"found    {found}.* at the key 'bad'"):
        MelBench().read(root)
