import io
from pathlib import Path

import imagehash
import pytest
from audit_worlds import draw, mention_table, picture, write_world
from PIL import Image

from dim.audit import audit_dataset
from dim.audit.images import look_at

NAME = "image is a duplicate of the gold's image"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw(tmp_path / "images")


def gold_image(folder: Path, mention_id: str) -> Path:
    return folder / "kb" / f"{int(mention_table()['entity_id'][mention_id][1:])}.png"


def test_a_copy_and_a_smaller_jpeg_of_the_gold_image_are_found_and_nothing_else(tmp_path: Path, folder: Path) -> None:
    (folder / "m" / "dev1.png").write_bytes(gold_image(folder, "dev-1").read_bytes())
    Image.open(gold_image(folder, "dev-4")).resize((61, 61)).save(folder / "m" / "dev4.png", "JPEG", quality=60)
    dataset = write_world(tmp_path)
    audit = audit_dataset(dataset)
    found = audit.find(NAME, "dev")
    assert (found.count, found.of, found.verdict) == (2, 8, "leak")
    assert found.figures == {"same_file": 1, "nearest_in_bits": 0, "by_chance": 0, "of_one_colour": 0}
    assert found.examples[0] == "dev-1 ~ E11 (0 bits)"
    assert found.examples[1].startswith("dev-4 ~ E15 (")
    assert audit.find(NAME, "test").verdict == audit.find(NAME, "train").verdict == "ok"
    assert audit.rows["id"][audit.rows["image_leak"]].tolist() == ["dev-1", "dev-4"]


def test_the_limit_is_the_one_that_is_given(tmp_path: Path, folder: Path) -> None:
    gold, mine = Image.open(gold_image(folder, "dev-0")), Image.open(folder / "m" / "dev0.png")
    blend = Image.blend(gold, mine, 0.25)
    blend.save(folder / "m" / "dev0.png")
    distance = imagehash.phash(gold) - imagehash.phash(blend)
    assert 4 < distance < 32
    dataset = write_world(tmp_path)
    assert audit_dataset(dataset, image_distance=distance - 1).find(NAME, "dev").count == 0
    found = audit_dataset(dataset, image_distance=distance).find(NAME, "dev")
    assert found.examples == (f"dev-0 ~ E10 ({distance} bits)",)
    assert (found.verdict, found.figures["nearest_in_bits"]) == ("warning", distance)


def test_a_duplicate_in_train_is_a_warning(tmp_path: Path, folder: Path) -> None:
    (folder / "m" / "train2.png").write_bytes(gold_image(folder, "train-2").read_bytes())
    found = audit_dataset(write_world(tmp_path)).find(NAME, "train")
    assert (found.count, found.of, found.verdict) == (1, 8, "warning")


def test_any_of_several_images_and_the_file_behind_a_region_count(tmp_path: Path, folder: Path) -> None:
    mentions = mention_table()
    mentions.at["dev-0", "images"] = ["m/dev0.png", "kb/10.png#xywh=1,1,20,20"]
    found = audit_dataset(write_world(tmp_path, mentions)).find(NAME, "dev")
    assert (found.examples, found.figures["same_file"]) == (("dev-0 ~ E10 (0 bits)",), 1)


def test_files_that_cannot_be_read_are_counted_by_reason(tmp_path: Path, folder: Path) -> None:
    (folder / "m" / "dev0.png").write_bytes(b"no image")
    (folder / "m" / "dev1.png").unlink()
    gold_image(folder, "test-0").write_bytes(b"")
    audit = audit_dataset(write_world(tmp_path))
    found = audit.find("image files that cannot be read")
    assert (found.count, found.of, found.verdict) == (3, 24 + 12, "warning")
    assert found.figures == {"empty file": 1, "not found": 1, "unreadable": 1}
    assert found.examples == ("kb/20.png (empty file)", "m/dev1.png (not found)", "m/dev0.png (unreadable)")
    assert audit.find(NAME, "dev").of == 6
    assert audit.find(NAME, "test").of == 6


def test_without_one_readable_pair_it_is_not_checked(tmp_path: Path) -> None:
    found = audit_dataset(write_world(tmp_path)).find(NAME, "dev")
    assert found.verdict == "not checked"
    assert found.says == "No row has a readable image both of its own and of its gold."


def test_images_of_one_colour_are_compared_by_their_bytes_only(tmp_path: Path, folder: Path) -> None:
    for path, colour in ((gold_image(folder, "dev-0"), "black"), (folder / "m" / "dev0.png", "white")):
        Image.new("RGB", (50, 50), colour).save(path)
    audit = audit_dataset(write_world(tmp_path), image_distance=64)
    # dev-2 has the same gold as dev-0 and a picture of its own.
    assert audit.find(NAME, "dev").figures["of_one_colour"] == 2
    assert not audit.rows.set_index("id")["image_leak"]["dev-0"]


def test_images_that_look_alike_for_every_gold_are_no_leak(tmp_path: Path, folder: Path) -> None:
    for path in folder.rglob("*.png"):
        picture(5).save(path)
    found = audit_dataset(write_world(tmp_path)).find(NAME, "dev")
    assert (found.count, found.figures["by_chance"], found.verdict) == (8, 8, "note")


def test_a_look_holds_the_hash_that_imagehash_gives(tmp_path: Path) -> None:
    data = io.BytesIO()
    picture(3, size=200).save(data, "PNG")
    (tmp_path / "a.png").write_bytes(data.getvalue())
    looks = look_at(["a.png", "a.png", "b.png"], tmp_path)
    assert looks.found["a.png"].phash == int(str(imagehash.phash(picture(3, size=200))), 16)
    assert looks.failed == {"not found": ["b.png"]}
