from pathlib import Path

import pandas as pd
import pytest

from dim.data.missing_images import describe_missing
from dim.errors import DataError
from dim.releases.base import Release, Skipped
from dim.releases.found_images import look_up_images
from dim.releases.image_folder import ImageFolder, find_image_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    for path in (root / "a.jpg", root / "sub" / "b.jpg", tmp_path / "secret.jpg"):
        path.write_bytes(b"")
    (root / "inside.jpg").symlink_to(root / "a.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "broken.jpg").symlink_to(root / "gone.jpg")
    (root / "parent").symlink_to(tmp_path)
    return root


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("a.jpg", "here"),
        ("./a.jpg", "here"),
        ("sub/b.jpg", "here"),
        ("inside.jpg", "here"),
        ("sub/none.jpg", "missing"),
        ("none/a.jpg", "missing"),
        ("a.jpg/x.jpg", "missing"),
        ("broken.jpg", "missing"),
        ("sub", "missing"),
        ("", "missing"),
        ("../secret.jpg", "outside"),
        ("sub/../../secret.jpg", "outside"),
        ("/etc/passwd", "outside"),
        ("out.jpg", "outside"),
        ("parent/secret.jpg", "outside"),
        ("a\0.jpg", "outside"),
    ],
)
def test_a_path_is_here_missing_or_outside(folder: Path, path: str, state: str) -> None:
    assert ImageFolder(folder).look_up(path) == state


def test_the_image_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert ImageFolder(tmp_path / "link").look_up("a.jpg") == "here"


def test_the_image_folder_is_found_by_its_name(folder: Path, tmp_path: Path) -> None:
    assert find_image_folder(tmp_path) == folder
    assert find_image_folder(folder) is None


def release(paths: list[list[str]], image_root: Path | None) -> Release:
    num = len(paths)
    mentions = pd.DataFrame({"context": [f"row {n}" for n in range(num)], "split": [None] * num, "images": paths})
    entities = pd.DataFrame({"id": ["Q1"], "images": [["a.jpg"]]})
    return Release("x", "", "", entities, {}, mentions, image_root, 0, Skipped())


def test_paths_that_lead_out_go_missing_ones_stay_and_both_are_counted(folder: Path) -> None:
    converted = release([["a.jpg", "/etc/passwd"], ["gone.jpg"], []], folder)
    found = look_up_images(converted, None)
    problems, without = found.problems, found.has_image.count(False)
    assert converted.mentions["images"].tolist() == [["a.jpg"], ["gone.jpg"], []]
    assert problems.counts == {"path leaves the image folder": 1, "no such file": 1}
    assert problems.examples["path leaves the image folder"] == ["/etc/passwd"]
    assert without == 2


def test_without_an_image_folder_all_paths_go_and_a_note_says_so() -> None:
    converted = release([["a.jpg"], []], None)
    found = look_up_images(converted, None)
    assert found.has_image.count(False) == 2
    assert found.dropped == {owner: {"no image folder": 1} for owner in ("mention", "entity")}
    assert converted.mentions["images"].tolist() == [[], []]
    assert converted.entities["images"].tolist() == [[]]
    assert "--images names another" in found.said[1]


def test_what_named_images_and_has_none_is_counted(folder: Path) -> None:
    converted = release([["/etc/passwd"], ["gone.jpg", "a.jpg"], ["gone.jpg"], []], folder)
    found = look_up_images(converted, None)
    assert found.dropped == {"mention": {"path leaves the image folder": 1}}
    mention, entity = found.named
    assert (mention.named, mention.reasons) == (3, {"path leaves the image folder": 1, "no such file": 1})
    assert (entity.named, entity.reasons) == (1, {})


def test_a_named_image_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing there"):
        look_up_images(release([["a.jpg"]], None), tmp_path / "none")


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("a.jpg#xywh=1,2,3,4", "here"),
        ("sub/b.jpg#xywh=-1.5,0,3,4", "here"),
        ("none.jpg#xywh=1,2,3,4", "missing"),
        ("../secret.jpg#xywh=1,2,3,4", "outside"),
        ("out.jpg#xywh=1,2,3,4", "outside"),
        ("a.jpg#xywh=1,2,3", "missing"),
        ("song #1.jpg", "here"),
    ],
)
def test_a_region_is_where_its_file_is(folder: Path, path: str, state: str) -> None:
    (folder / "song #1.jpg").touch()
    assert ImageFolder(folder).look_up(path) == state


def test_regions_stay_in_the_table(folder: Path) -> None:
    converted = release([["a.jpg#xywh=1,2,3,4"], ["gone.jpg#xywh=1,2,3,4"]], folder)
    found = look_up_images(converted, None)
    problems, without = found.problems, found.has_image.count(False)
    assert converted.mentions["images"].tolist() == [["a.jpg#xywh=1,2,3,4"], ["gone.jpg#xywh=1,2,3,4"]]
    assert problems.examples == {"no such file": ["gone.jpg#xywh=1,2,3,4"]}
    assert without == 1


def museum(tmp_path: Path) -> tuple[Path, Path]:
    """The folder of tables, and one of images beside it, in two folders with files of the same name."""
    tables, photos = tmp_path / "tables", tmp_path / "our photos"
    tables.mkdir()
    for side in ("kb", "new"):
        (photos / side).mkdir(parents=True)
        (photos / side / "a.jpg").write_bytes(b"")
    return tables, photos


def test_paths_out_of_the_tables_folder_say_which_folder_to_name_and_are_found_in_it(tmp_path: Path) -> None:
    tables, photos = museum(tmp_path)
    paths = [[f"{photos}/kb/a.jpg#xywh=0,0,1,1"], ["../our photos/new/a.jpg"]]
    converted = release(paths, tables)
    converted.entities["images"] = [[f"{photos}/kb/a.jpg"]]
    found = look_up_images(converted, None, tables)
    assert (found.has_image, converted.entities["images"].tolist()) == ([False, False], [[]])
    for named in found.named:
        assert describe_missing(named, tables)[1].endswith(f"before you name the folder, --images '{photos}'.")
    converted = release(paths, tables)
    converted.entities["images"] = [[f"{photos}/kb/a.jpg"]]
    found = look_up_images(converted, photos, tables)
    assert converted.mentions["images"].tolist() == [["kb/a.jpg#xywh=0,0,1,1"], ["new/a.jpg"]]
    assert converted.entities["images"].tolist() == [["kb/a.jpg"]]
    assert (found.has_image, converted.image_root) == ([True, True], photos)


def test_images_in_the_tables_folder_are_still_found_when_one_above_is_named(tmp_path: Path) -> None:
    tables, photos = museum(tmp_path)
    (tables / "a.jpg").write_bytes(b"")
    paths = [["a.jpg"], [f"{photos}/kb/a.jpg"]]
    (mention, _) = look_up_images(release(paths, tables), None, tables).named
    assert describe_missing(mention, tables)[1].endswith(f"--images {tmp_path}.")
    converted = release(paths, tables)
    look_up_images(converted, tmp_path, tables)
    assert converted.mentions["images"].tolist() == [["tables/a.jpg"], ["our photos/kb/a.jpg"]]


def test_an_absolute_path_to_a_file_that_is_there_is_not_taken_for_another_of_its_name(tmp_path: Path) -> None:
    tables, photos = museum(tmp_path)
    (tables / "a.jpg").write_bytes(b"")
    converted = release([[f"{photos}/kb/a.jpg"], ["/of/another/machine/a.jpg"]], tables)
    converted.entities["images"] = [[]]
    found = look_up_images(converted, None, tables)
    assert converted.mentions["images"].tolist() == [[], ["a.jpg"]]
    assert found.has_image == [False, True]


@pytest.mark.parametrize("path", ["/etc/passwd", "/nowhere/a.jpg", "../gone.jpg", "a\0/../../b.jpg"])
def test_what_is_no_image_that_is_there_is_not_recommended(tmp_path: Path, path: str) -> None:
    tables, _ = museum(tmp_path)
    (mention, _) = look_up_images(release([[path]], tables), None, tables).named
    assert "names the one that holds all" in describe_missing(mention, tables)[1]
