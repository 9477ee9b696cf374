from pathlib import Path

import pytest
from fake_fissfuse import write_lines
from fake_text_releases import document, write_zelda
from releases import PEOPLE, row

from dim.errors import DataError
from dim.releases.layouts import find_converter
from dim.releases.zelda import OUTSIDE, UNEVEN, Zelda


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_zelda(tmp_path / "ZELDA")


def test_annotations_become_mentions_with_their_places(root: Path) -> None:
    assert find_converter(root).layout == "zelda"
    mentions = Zelda().read(root).mentions
    assert mentions["split"].value_counts().to_dict() == {"train": 20, "test": 8}
    assert mentions["mention"].tolist() == [row(number)["mentions"] for number in range(28)]
    assert mentions["entity_id"].tolist() == [row(number)["answer"][1:] for number in range(28)]
    assert all(m.context[m.start : m.end] == m.mention and m.start > 300 for m in mentions.itertuples())
    assert mentions["type"].tolist() == [None] * 20 + ["aida-b"] * 4 + ["tweeki"] * 4


def test_the_kb_is_what_has_a_description(root: Path) -> None:
    release = Zelda().read(root)
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert release.texts["brief"]["text"].tolist()[0] == "Ada Lovelace was a scientist."
    assert "no file for dev: that split is empty" in release.notes


def test_without_descriptions_the_kb_is_the_answers_and_that_is_said(tmp_path: Path) -> None:
    release = Zelda().read(write_zelda(tmp_path / "ZELDA", descriptions=False))
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert release.texts == {}
    assert any("made of the answers alone" in note for note in release.notes)


def test_test_files_alone_are_told_by_their_rows(root: Path, tmp_path: Path) -> None:
    assert find_converter(root / "test_data" / "jsonl").layout == "zelda"
    (tmp_path / "other").mkdir()
    write_lines(tmp_path / "other" / "test_mine.jsonl", [{"text": "x"}])
    assert not Zelda().recognizes(tmp_path / "other")


def test_annotations_that_have_no_place_are_counted(root: Path) -> None:
    bad = document(0) | {"index": [[5, 5], [0, 10_000]]}
    uneven = document(1) | {"wikipedia_ids": [1]}
    write_lines(root / "train_data" / "zelda_train.jsonl", [bad, uneven, document(2)])
    release = Zelda().read(root)
    assert release.skipped.counts == {OUTSIDE: 2, UNEVEN: 1}
    assert release.skipped.examples[UNEVEN] == ["zelda_train.jsonl line 2"]


def test_a_document_of_another_shape_is_named(root: Path) -> None:
    write_lines(root / "train_data" / "zelda_train.jsonl", [{"text": "x", "index": {}}])
    with pytest.raises(DataError, match="found    an object as 'index' in line 1"):
        Zelda().read(root)
