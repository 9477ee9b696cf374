"""The one rule for whoever writes a folder."""

import json
import os
from pathlib import Path

import pytest

from dim.core.files import atomic_path
from dim.core.output import Kind, check_file, check_target, output_folder
from dim.errors import ConfigError

BOX = Kind("a box", lambda folder: (folder / "box.json").is_file(), lambda folder: ["box.json", "parts/*.txt"])
DIARY = Kind("a diary", lambda folder: (folder / "diary.json").is_file(), lambda folder: ["diary.json", "days/*"], True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write_box(target: Path, text: str = "new", **options: bool) -> None:
    with output_folder(target, BOX, "a test", **options) as place:
        (place / "parts").mkdir()
        (place / "parts" / "one.txt").write_text(text)
        (place / "box.json").write_text("{}")


@pytest.fixture
def box(tmp_path: Path) -> Path:
    write_box(tmp_path / "box", "old")
    return tmp_path / "box"


def refused(target: Path, message: str, kind: Kind = BOX, **options: object) -> None:
    before = contents(target) if target.is_dir() else None
    with pytest.raises(ConfigError, match=message):
        check_target(target, kind, **options)
    assert before is None or contents(target) == before


def test_a_new_and_an_empty_folder_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").write_bytes(b"what a Mac leaves")
    for name in ("empty", "new", "deep/er"):
        write_box(tmp_path / name)
        assert contents(tmp_path / name) == {"box.json": b"{}", "parts/one.txt": b"new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "empty", "new"]


def test_what_the_same_command_wrote_is_replaced_where_the_user_says_so(box: Path) -> None:
    refused(box, r"a box, written before\nto do    Choose another folder, or replace it with --overwrite true")
    write_box(box, overwrite=True)
    assert contents(box)["parts/one.txt"] == b"new"


@pytest.mark.parametrize("strange", ["thesis.txt", "parts/thesis.pdf", "link"])
def test_a_strangers_file_in_it_is_never_replaced(box: Path, strange: str) -> None:
    if strange == "link":
        (box / "link").symlink_to(box.parent)
    else:
        (box / strange).write_text("three years")
    refused(box, f"a box with files that it did not write: {strange}\nto do    Move them away", overwrite=True)


def test_the_first_strange_files_are_named(tmp_path: Path) -> None:
    for name in "edcba":
        (tmp_path / name).touch()
    refused(tmp_path, r"found    other files: a, b, c … \(5 in all\)\nto do    Choose another folder", overwrite=True)
    (tmp_path / "dataset.json").touch()
    refused(tmp_path, r"found    a dataset: a, b, c … \(6 in all\)", overwrite=True)
    refused(tmp_path / "a", "found    a file", overwrite=True)


def test_no_target_is_a_source_or_lies_in_one_or_holds_one(box: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(box)
    for target, relation in (
        (box, "the folder itself"),
        (box / "new", "a place inside"),
        (tmp_path, "a folder that holds"),
        (tmp_path / "link", "the folder itself"),
        (tmp_path / "link" / "new", "a place inside"),
        (box / ".." / "box", "the folder itself"),
    ):
        refused(target, relation, sources=[tmp_path / "elsewhere", box], overwrite=True)
    check_target(tmp_path / "box2", BOX, sources=[box])  # a name that only begins alike


def test_a_folder_that_is_written_file_by_file_keeps_what_is_beside(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("slurm's")
    check_target(tmp_path, DIARY)
    (tmp_path / "days").mkdir()
    refused(tmp_path, r"a new or empty folder for a diary at .*\nfound    other files: days\n", kind=DIARY)
    (tmp_path / "diary.json").touch()
    refused(tmp_path, "a diary, written before", kind=DIARY)
    check_target(tmp_path, DIARY, overwrite=True)


def test_an_error_leaves_the_old_folder_and_no_litter(box: Path) -> None:
    before = contents(box)

    def fail() -> None:
        with output_folder(box, BOX, "a test", overwrite=True) as place:
            (place / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert contents(box) == before
    assert [path.name for path in box.parent.iterdir()] == ["box"]


def test_a_file_that_came_while_it_was_made_stays(box: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"did not write: thesis\.txt"),
        output_folder(box, BOX, "a test", overwrite=True),
    ):
        (box / "thesis.txt").write_text("three years")
    assert (box / "thesis.txt").read_text() == "three years"


def test_what_a_killed_process_left_goes(box: Path) -> None:
    child = os.fork()
    if not child:
        with output_folder(box, BOX, "a test", overwrite=True) as place:
            (place / "half").write_bytes(b"0" * 1000)
            os._exit(9)
    os.waitpid(child, 0)
    assert len(list(box.parent.iterdir())) > 1
    write_box(box, overwrite=True)
    assert [path.name for path in box.parent.iterdir()] == ["box"]


def test_a_link_to_a_folder_stays_a_link(box: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(box)
    write_box(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert contents(box)["parts/one.txt"] == b"new"


def test_a_link_to_nothing_makes_room_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with atomic_path(tmp_path / "link") as place:
        place.mkdir()
        (place / "one.txt").write_text("new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link" / "one.txt").read_text() == "new"
    assert not (tmp_path / "gone").exists()


def test_a_file_is_replaced_by_one_of_its_kind_alone(tmp_path: Path) -> None:
    def is_ours(path: Path) -> bool:
        return path.read_text().startswith("{")

    check_file(tmp_path / "new.json", "a report", is_ours)
    (tmp_path / "old.json").write_text(json.dumps({}))
    check_file(tmp_path / "old.json", "a report", is_ours)
    (tmp_path / "thesis.md").write_text("three years")
    for name, found in (("thesis.md", "another file"), (".", "a folder")):
        with pytest.raises(ConfigError, match=rf"a report written before, at .*\nfound    {found}"):
            check_file(tmp_path / name, "a report", is_ours)


def test_a_file_above_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "box", "found    a file .*file\n")
