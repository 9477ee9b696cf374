"""Images of releases as they are on disk: under other folders, called by row ids, packed, and placeholders."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_mimic import write_mimic
from fake_wikidiverse import write_caption_images, write_entity_files, write_mentions
from fake_wikiperson import write_wikiperson
from releases import row, write_dim_release, write_image, write_json, write_melbench, write_table, write_tables

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.releases.image_folder import count_images
from dim.releases.prepare import prepare


def plain(text: str) -> str:
    return re.sub(r"[ \n]+", " ", text)


def resolved(dataset: Dataset) -> int:
    """Mentions whose image is a file, counted by opening paths alone."""
    root = Path(json.loads((dataset.root / "dataset.json").read_text())["image_root"])
    return sum(any((root / path.split("#")[0]).is_file() for path in of) for of in dataset.mentions["images"])


def first_lines(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands before the table of the summary."""
    return plain(capsys.readouterr().out.partition("mention rows read")[0])


def with_prefix(root: Path) -> Path:
    """DIM's own release: rows name `KVQAimgs/<id>.jpg`."""
    write_dim_release(root)
    for split in ("train", "dev", "test"):
        rows = json.loads((root / f"{split}.json").read_text())
        write_json(root / f"{split}.json", {k: v | {"imgPath": f"KVQAimgs/{v['imgPath']}"} for k, v in rows.items()})
    return root


@pytest.mark.parametrize("folder", ["KVQAimgs", "images", "mention_pictures", "images/KVQAimgs", "unpacked/photos"])
def test_images_named_with_a_folder_are_found_in_any_folder_of_the_release(tmp_path: Path, folder: str) -> None:
    root = with_prefix(tmp_path / "wikimel")
    for caption in range(14):
        write_image(root / folder / f"{caption}.jpg", (caption, 40, 40))
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert (resolved(dataset), dataset.meta["mentions_without_image"]) == (28, 0)
    assert dataset.meta["said_of_images"] == []


@pytest.mark.parametrize("folder", ["photos", "photos/KVQAimgs", "photos/deeper"])
def test_a_named_folder_holds_the_files_whatever_the_rows_say(tmp_path: Path, folder: str) -> None:
    root = with_prefix(tmp_path / "wikimel")
    for caption in range(14):
        write_image(tmp_path / folder / f"{caption}.jpg", (caption, 40, 40))
    dataset = prepare(root, tmp_path / "out", images=tmp_path / "photos", audit=False)
    assert (resolved(dataset), dataset.meta["mentions_without_image"]) == (28, 0)


def of_dim(root: Path) -> int:
    with_prefix(root)
    return 28


def of_melbench(root: Path) -> int:
    write_melbench(root)
    return 28


def of_mimic(root: Path) -> int:
    write_mimic(root, images=False)
    return 28


def of_wikiperson(root: Path) -> int:
    write_wikiperson(root, images=False)
    return 24


def of_tables(root: Path) -> int:
    write_tables(root)
    return 28


@pytest.mark.parametrize("write", [of_dim, of_melbench, of_mimic, of_wikiperson, of_tables])
def test_every_layout_takes_its_images_from_a_folder_that_is_named(write, tmp_path, capsys):
    rows = write(tmp_path / "release")
    options = ["--allow_missing", "true", "--audit", "false"]
    for name in [*range(30), *(f"Q{n}" for n in range(100, 108))]:
        write_image(tmp_path / "elsewhere" / f"{name}.jpg")
    assert (
        main(
            [
                "prepare",
                str(tmp_path / "release"),
                str(tmp_path / "out"),
                "--images",
                str(tmp_path / "elsewhere"),
                *options,
            ]
        )
        == 0
    )
    dataset = Dataset(tmp_path / "out")
    assert resolved(dataset) == len(dataset.mentions) - dataset.meta["mentions_without_image"] == rows


def test_the_image_of_a_melbench_row_is_called_by_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_melbench(tmp_path / "melbench")
    for key in range(0, 26, 2):
        write_image(root / "mention_images" / f"{key}.jpg", (key, 0, 0))
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert (resolved(dataset), dataset.meta["mentions_without_image"]) == (26, 2)
    keys = [json.loads(text)["key"] for text in dataset.mentions["attributes"]]
    assert dataset.mentions["images"].map(lambda of: of[0]).tolist() == [f"{key}.jpg" for key in keys]
    assert "images: 2 of 28 mentions that name one have none (2 no such file)" in first_lines(capsys)


@pytest.mark.parametrize("pattern", ["{}.jpg", "{}.PNG", "{}/1.jpg"])
def test_richpedia_without_paths_has_the_images_called_by_the_keys(tmp_path: Path, pattern: str) -> None:
    root = write_dim_release(tmp_path / "richpedia")
    for split, start in (("train", 0), ("dev", 4), ("test", 6)):
        rows = {row(n)["answer"]: row(n) | {"imgPath": ""} for n in range(start, start + (4 if start == 0 else 2))}
        write_json(root / f"{split}.json", rows)
        for key in rows:
            write_image(root / "images" / pattern.format(key), (int(key[1:]), 0, 0))
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert (resolved(dataset), dataset.meta["mentions_without_image"]) == (8, 0)


def test_several_mentions_of_a_caption_share_the_image_called_by_its_id(tmp_path: Path) -> None:
    root = write_dim_release(tmp_path / "wikimel")
    for split in ("train", "dev", "test"):
        rows = json.loads((root / f"{split}.json").read_text())
        write_json(root / f"{split}.json", {key: of | {"imgPath": None} for key, of in rows.items()})
    for caption in range(13):
        write_image(root / "images" / f"{caption}.jpg", (caption, 0, 0))
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert resolved(dataset) == 26
    assert dataset.meta["images"]["no such file"]["count"] == 2


def flat(folder: Path, names: list[str]) -> Path:
    for name in names:
        write_image(folder / "flat" / name)
    return folder / "flat"


def test_a_mention_and_an_entity_never_share_a_picture_by_a_shortened_path(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    entities = [{"id": n, "name": f"Person {n}", "image": f"kb/{n}.jpg"} for n in range(4)]
    mentions = [
        {"mention": f"Person {n}", "context": f"c {n}", "entity_id": n, "image": f"mentions/{n}.jpg"} for n in range(4)
    ]
    write_table(root / "entities.csv", entities)
    write_table(root / "mentions.csv", mentions)
    dataset = prepare(root, tmp_path / "out", images=flat(tmp_path, [f"{n}.jpg" for n in range(4)]), audit=False)
    assert resolved(dataset) == 0
    assert dataset.meta["images"]["several paths lead to one file of that name"]["count"] == 8


def test_a_mention_whose_image_is_gone_does_not_get_that_of_an_entity(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    write_table(root / "entities.csv", [{"id": n, "name": f"P {n}", "image": f"kb/{n}.jpg"} for n in range(4)])
    mentions = [
        {"mention": f"P {n}", "context": f"c {n}", "entity_id": n, "image": f"photos/{n}.jpg"} for n in range(4)
    ]
    write_table(root / "mentions.csv", mentions)
    for n in range(4):
        write_image(root / "kb" / f"{n}.jpg", (n, 0, 0))
        if n != 2:
            write_image(root / "photos" / f"{n}.jpg", (0, n, 0))
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert resolved(dataset) == 3
    assert dataset.meta["images"]["several paths lead to one file of that name"]["count"] == 1
    assert dataset.entities["images"].map(len).sum() == 4


def test_a_path_and_its_end_are_one_picture(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    write_table(root / "entities.csv", [{"id": n, "name": f"P {n}"} for n in range(2)])
    paths = ["KVQAimgs/0.jpg", "0.jpg"]
    mentions = [{"mention": "P 0", "context": f"c {n}", "entity_id": n, "image": paths[n]} for n in range(2)]
    write_table(root / "mentions.csv", mentions)
    write_image(root / "images" / "0.jpg")
    assert resolved(prepare(root, tmp_path / "out", audit=False)) == 2


def test_images_in_two_folders_are_named_from_the_folder_of_both(tmp_path: Path) -> None:
    root = with_prefix(tmp_path / "wikimel")
    for caption in range(14):
        write_image(root / ("images" if caption < 7 else "more") / f"{caption}.jpg", (caption, 0, 0))
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert dataset.image_root == root
    assert resolved(dataset) == 28
    assert {of[0].split("/")[0] for of in dataset.mentions["images"]} == {"images", "more"}


def test_a_folder_of_images_that_no_row_uses_is_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_dim_release(tmp_path / "wikimel", images=True)
    write_image(root / "posters" / "poster.png")
    prepare(root, tmp_path / "out", audit=False)
    assert f"no row uses the images in {root}/posters (1 file)" in first_lines(capsys)


def test_the_files_of_a_folder_that_rows_use_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_dim_release(tmp_path / "wikimel", images=True)
    write_image(root / "posters" / "poster.png")
    counted: list[str] = []

    def count(folder: Path) -> int:
        counted.append(folder.name)
        return count_images(folder)

    monkeypatch.setattr("dim.releases.found_images.count_images", count)
    prepare(root, tmp_path / "out", audit=False)
    assert counted == ["posters"]


def test_rows_whose_images_are_all_absent_are_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_dim_release(tmp_path / "wikimel")
    write_image(root / "images" / "other.jpg")
    prepare(root, tmp_path / "out", audit=False)
    said = first_lines(capsys)
    assert "images: 28 of 28 mentions that name one have none (28 no such file)" in said
    assert f"no row uses the images in {root}/images (1 file)" in said


def test_zips_that_came_out_of_the_tar_are_named_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_mimic(tmp_path / "mimic", images=False)
    for name in ("mention_image.zip", "kb_image.zip"):
        (root / name).write_bytes(b"PK")
    prepare(root, tmp_path / "out", audit=False, allow_missing=True)
    said = first_lines(capsys)
    assert f"unzip -q {root}/mention_image.zip -d {root}/mention_image" in said
    assert f"unzip -q {root}/kb_image.zip -d {root}/kb_image" in said


def test_what_that_command_unpacks_is_found(tmp_path: Path) -> None:
    root = write_mimic(tmp_path / "mimic")
    for folder in ("mention_image", "kb_image"):  # a zip with a folder in it, unpacked into one of its name
        (root / folder).rename(root / "aside")
        (root / folder).mkdir()
        (root / "aside").rename(root / folder / folder)
    dataset = prepare(root, tmp_path / "out", audit=False, allow_missing=True)
    bare = prepare(write_mimic(tmp_path / "again"), tmp_path / "bare", audit=False, allow_missing=True)
    assert resolved(dataset) == resolved(bare) > 0


def many_captions(root: Path, images: Iterator[str]) -> Path:
    """150 captions in three splits, each with one mention; `images` gives the image of each row."""
    write_dim_release(root)
    for split, numbers in (("train", range(100)), ("dev", range(100, 125)), ("test", range(125, 150))):
        rows = {str(n): row(n) | {"sentence": f"caption {n}", "imgPath": next(images)} for n in numbers}
        write_json(root / f"{split}.json", rows)
    return root


@pytest.mark.parametrize("there", [True, False])
def test_one_file_for_hundreds_of_captions_is_no_image(
    tmp_path: Path, there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = many_captions(tmp_path / "r", iter(["mention_54.jpg" if n % 4 else f"{n}.jpg" for n in range(150)]))
    for n in range(0, 150, 4):
        write_image(root / "images" / f"{n}.jpg", (n, 0, 0))
    if there:
        write_image(root / "images" / "mention_54.jpg")
    dataset = prepare(root, tmp_path / "out")
    assert resolved(dataset) == 38
    assert sum(len(of) == 0 for of in dataset.mentions["images"]) == 112
    out = capsys.readouterr().out
    assert "placeholders are no images: mention_54.jpg (for 112 captions)" in plain(out)
    assert "images that stand in train too" in plain(out)
    assert not re.search(r"(leak|warning) +(dev|test): images that stand", out)
    assert 0 < dataset.meta["num_mentions"]["tune"] <= 11  # nothing ties the captions together


def test_copies_of_a_placeholder_under_other_names_are_none_either(tmp_path: Path) -> None:
    root = many_captions(tmp_path / "r", iter([f"{n}.jpg" for n in range(150)]))
    for n in range(150):
        write_image(root / "images" / f"{n}.jpg", (n, 0, 0) if n % 5 == 0 else (255, 255, 255))
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert resolved(dataset) == 30
    assert "for 120 captions" in dataset.meta["said_of_images"][0]


def test_one_photograph_of_one_long_document_is_an_image(tmp_path: Path) -> None:
    root = many_captions(tmp_path / "r", iter(["big.jpg"] * 100 + [f"{n}.jpg" for n in range(50)]))
    write_image(root / "images" / "big.jpg")
    assert resolved(prepare(root, tmp_path / "out", audit=False)) == 100  # in train alone


def test_a_picture_with_a_region_for_each_of_hundreds_of_mentions_is_an_image(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    write_table(root / "entities.csv", [{"id": n, "name": f"Place {n}"} for n in range(150)])
    kinds = [
        {"mention": f"Place {n}", "context": f"Place {n} lies by the sea.", "entity_id": n, "image": of}
        for n in range(150)
        for of in (f"map{n % 2}.jpg#xywh={n},0,4,4", "none.jpg")
    ]
    write_table(root / "mentions.csv", kinds)
    for name in ("map0.jpg", "map1.jpg", "none.jpg"):
        write_image(root / name)
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert "none.jpg (for 150 captions); 1 in all" in dataset.meta["said_of_images"][0]
    assert sum(len(of) > 0 for of in dataset.mentions["images"]) == 150


def test_a_row_with_neither_name_nor_text_nor_image_never_trains(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    write_table(root / "entities.csv", [{"id": n, "name": f"Person {n}"} for n in range(4)])
    kinds = [
        {"mention": " ", "context": "the man on the left", "image": ""},
        {"mention": "", "context": "", "image": "here.jpg"},
        {"mention": "", "context": "", "image": "here.jpg#xywh=1,1,4,4"},
        {"mention": "", "context": " ", "image": "gone.jpg"},
        {"mention": "", "context": "", "image": ""},
        {"mention": "Person 1", "context": "", "image": ""},
    ]
    write_table(root / "mentions.csv", [kind | {"entity_id": 1} for kind in kinds])
    write_image(root / "here.jpg")
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert (dataset.meta["rows_read"], dataset.meta["rows_kept"]) == (6, 4)
    assert dataset.meta["skipped"] == {
        "neither name, context nor usable image": {"count": 2, "examples": ["mentions.csv line 6", "mention-000003"]}
    }
    assert set(dataset.mentions["id"]) == {f"mention-{n:06d}" for n in (0, 1, 2, 5)}


def of_wikidiverse(root: Path) -> str:
    write_mentions(root)
    write_entity_files(root)
    write_caption_images(root)
    return "wikinewsImgs"


@pytest.mark.parametrize("write", [of_wikidiverse])
def test_images_named_by_hashes_are_taken_from_a_folder_that_is_named(write, tmp_path):
    folder = write(tmp_path / "release")
    wanted = resolved(prepare(tmp_path / "release", tmp_path / "wanted", allow_missing=True, audit=False))
    (tmp_path / "release" / folder).rename(tmp_path / "elsewhere")
    options = {"images": tmp_path / "elsewhere", "allow_missing": True, "audit": False}
    assert resolved(prepare(tmp_path / "release", tmp_path / "out", **options)) == wanted > 0
