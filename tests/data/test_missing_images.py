from pathlib import Path

import pytest

from dim.data.missing_images import NamedImages, check_images, missing_sentence
from dim.errors import ConfigError, DataError

ALL_GONE = NamedImages("mention", 4, {"not found": 4}, ["sub/a.png", "b.png"])


def message(found: NamedImages, root: Path | None, limit: float = 0.25) -> str:
    with pytest.raises(DataError) as caught:
        check_images(found, limit, root)
    return str(caught.value)


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


@pytest.mark.parametrize(
    ("missing", "limit", "stops"), [(1, 0.25, False), (2, 0.25, True), (4, 1, False), (1, 0, True)]
)
def test_beyond_the_limit_it_stops(tmp_path: Path, missing: int, limit: float, stops: bool) -> None:
    found = NamedImages("entity", 4, {"not found": missing - 1, "unreadable": 1})
    if stops:
        assert f"{missing} of 4 entities without theirs" in message(found, tmp_path, limit)
    else:
        check_images(found, limit, tmp_path)


def test_who_names_no_image_misses_none() -> None:
    check_images(NamedImages("mention", 0), 0, None)


def test_a_limit_is_a_share() -> None:
    with pytest.raises(ConfigError, match="a share from 0 to 1"):
        check_images(ALL_GONE, 25, None)


@pytest.mark.parametrize(
    ("stands", "remedy"),
    [
        (
            "images/images/sub/a.png",
            "They stand in {root}/images: prepare again with dim prepare --images {root}/images",
        ),
        ("pictures/b.png", "They stand in {root.parent}/pictures: prepare again"),
        ("images/a.png", "They stand in {root} without the folders that their paths name"),
        ("images.zip", "Unpack it: unzip -q {root.parent}/images.zip -d {root.parent}/images"),
        ("other.txt", "Put the images there"),
    ],
)
def test_the_message_has_the_paths_tried_and_where_they_seem_to_stand(tmp_path: Path, stands: str, remedy: str) -> None:
    root = tmp_path / "release" / "images"
    root.mkdir(parents=True)
    write(root.parent / stands)
    text = message(ALL_GONE, root)
    assert f"4 of 4 mentions without theirs (4 not found); tried {root}/sub/a.png, {root}/b.png" in text
    assert remedy.format(root=root) in text
    assert "--max_missing_images 1" in text


def test_files_that_stand_there_and_cannot_be_read_are_not_looked_for_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "images/a.png")
    found = NamedImages("mention", 4, {"unreadable": 4}, ["images/a.png"])
    text = message(found, tmp_path)
    assert f"Some stand there and cannot be read, first {tmp_path}/images/a.png: replace them" in text
    assert "They stand in" not in text


def test_a_folder_is_named_as_a_shell_takes_it(tmp_path: Path) -> None:
    root = tmp_path / "release" / "images"
    root.mkdir(parents=True)
    write(root.parent / "old pictures/b.png")
    assert f"--images '{root.parent}/old pictures'" in message(ALL_GONE, root)


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        (ALL_GONE, "There is no folder {root}/moved: put it back"),
        (NamedImages("mention", 2, {"no image folder": 2}), "Unpack the images into a folder 'images'"),
    ],
)
def test_a_folder_that_moved_or_never_was_is_named(tmp_path: Path, found: NamedImages, remedy: str) -> None:
    assert remedy.format(root=tmp_path) in message(found, tmp_path / "moved")


@pytest.mark.parametrize(
    ("path", "remedy"),
    [("https://x.org/a.png", "dim fetches none"), ("/home/me/a.png", "relative"), ("../a.png", "relative")],
)
def test_paths_that_no_folder_can_hold_are_told_apart(tmp_path: Path, path: str, remedy: str) -> None:
    assert remedy in message(NamedImages("mention", 1, {"not found": 1}, [path]), tmp_path)


def test_each_path_that_was_tried_is_named_once(tmp_path: Path) -> None:
    found = NamedImages("mention", 5, {"not found": 5}, ["a.png", "a.png", "a.png#xywh=1,1,2,2", "b.png", "c.png"])
    assert f"tried {tmp_path}/a.png, {tmp_path}/b.png, {tmp_path}/c.png" in message(found, tmp_path)


def test_the_sentence_under_a_table_names_both_sides() -> None:
    mention, entity = NamedImages("mention", 9, {"not found": 1}), NamedImages("entity", 1_000)
    facts = {"mention": mention.as_json(), "entity": entity.as_json()}
    assert missing_sentence(facts) == "images: 1 of 9 mentions that name one have none (1 not found)"
    assert missing_sentence({"entity": entity.as_json()}) is None
    assert missing_sentence({}) is None
