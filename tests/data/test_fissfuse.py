from pathlib import Path

import pytest
from fake_fissfuse import entity, mention, write_fissfuse, write_lines
from releases import PEOPLE, qid, row, write_image

from dim.errors import DataError
from dim.releases.fissfuse import FissFuse
from dim.releases.found_images import look_up_images
from dim.releases.layouts import find_converter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_fissfuse(tmp_path / "WikiMEL")


def test_rows_and_kb_are_read(root: Path) -> None:
    assert find_converter(root).layout == "fissfuse"
    release = FissFuse().read(root)
    assert release.name == "WikiMEL-FissFuse"
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}
    assert release.mentions["entity_id"].tolist() == [row(number)["answer"] for number in range(28)]
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert release.texts["brief"]["text"].tolist()[0] == "scientist 0"


def test_the_order_of_the_candidates_no_longer_tells_the_answer(root: Path) -> None:
    release = FissFuse().read(root)
    lists = release.mentions["candidates"].tolist()
    assert [sorted(of) for of in lists] == [sorted({qid(n), qid(n + 1), qid(n + 3)}) for n in range(28)]
    assert all(of == sorted(of) for of in lists)  # the order of this KB
    assert any("the first candidate of each row is its answer" in note for note in release.notes)


def test_an_answer_of_its_own_goes_before_the_first_candidate(root: Path) -> None:
    write_lines(root / "WIKIMEL_test.jsonl", [mention(0, answer="Q103"), mention(1, answer=None)])
    test = FissFuse().read(root).mentions.query("split == 'test'")
    assert test["entity_id"].tolist() == ["Q103", None]


def test_candidates_that_the_kb_lacks_are_counted(root: Path) -> None:
    write_lines(root / "WIKIMEL_test.jsonl", [mention(0, candidates=["Q100", "Q999"])])
    release = FissFuse().read(root)
    assert "candidates that the KB lacks were left out: 1" in release.notes


def test_unpacked_images_are_found_by_stem_and_by_id(root: Path) -> None:
    for caption in range(14):
        write_image(root / "mention_image" / f"{caption}.jpg", (caption, 0, 0))
    write_image(root / "entity_image" / "Q100.png")
    release = FissFuse().read(root)
    assert look_up_images(release, None).has_image.count(False) == 0
    assert release.entities["images"].tolist()[:2] == [["entity_image/Q100.png"], []]


def test_images_that_are_still_packed_are_told_the_command(root: Path) -> None:
    (root / "wikimel_image.h5").write_bytes(b"")
    notes = " ".join(FissFuse().read(root).notes)
    assert f"dim unpack {root}/wikimel_image.h5 {root}" in notes


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ({"mentions": "x"}, "found    neither 'answer' nor 'candidates' in line 1"),
        ({"mentions": "x", "candidates": [1]}, "found    no array of ids as 'candidates' in line 1"),
        ({"candidates": ["Q1"]}, "found    no field 'mentions' in line 1"),
        ([], "found    an array in line 1"),
    ],
)
def test_a_row_of_another_shape_is_named(root: Path, bad: object, found: str) -> None:
    write_lines(root / "WIKIMEL_valid.jsonl", [bad])
    with pytest.raises(DataError, match=found):
        FissFuse().read(root)


def test_an_entity_of_another_shape_is_named(root: Path) -> None:
    write_lines(root / "entities.jsonl", [entity(0), entity(1, name=3)])
    with pytest.raises(DataError, match="found    a number as 'name' in line 2"):
        FissFuse().read(root)


def test_files_of_two_datasets_are_refused(root: Path) -> None:
    write_lines(root / "WIKIDIVERSE_train.jsonl", [mention(0)])
    with pytest.raises(DataError, match="Keep the files of one dataset in the folder"):
        FissFuse().read(root)
