"""Where a user's tables stand, and in which format: each way gives the release that two CSV files give."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook
from PIL import Image
from releases import PEOPLE, entity_rows, mention_rows, write_table, write_tables

from dim.data.dataset import Dataset
from dim.errors import DataError
from dim.images.reading import load_image
from dim.releases.layouts import find_converter
from dim.releases.prepare import open_dataset, prepare
from dim.releases.tables import Tables

SPLITS = {"train": mention_rows()[:20], "validation": mention_rows()[20:24], "test": mention_rows()[24:]}


def write_sheet(path: Path, rows: list[dict[str, Any]]) -> None:
    book = Workbook()
    for row in [list(rows[0]), *(list(row.values()) for row in rows)]:
        book.active.append(row)
    book.save(path)


def write_array(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


@pytest.mark.parametrize(("suffix", "write"), [(".json", write_array), (".xlsx", write_sheet)])
def test_arrays_and_workbooks_give_what_csv_gives(tmp_path: Path, suffix: str, write: Any) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / f"entities{suffix}", entity_rows())
    write(tmp_path / "other" / f"mentions{suffix}", mention_rows())
    assert find_converter(tmp_path / "other").layout == "tables"
    found = Tables().read(tmp_path / "other")
    wanted = Tables().read(write_tables(tmp_path / "mine"))
    attributes = ["attributes"]  # born is a string in CSV
    pd.testing.assert_frame_equal(found.entities.drop(columns=attributes), wanted.entities.drop(columns=attributes))
    pd.testing.assert_frame_equal(found.mentions, wanted.mentions)


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev", "Validation"])
def test_files_of_splits_are_the_mentions(tmp_path: Path, name: str) -> None:
    write_table(tmp_path / "entities.csv", entity_rows())
    for split, rows in SPLITS.items():
        write_table(tmp_path / f"{name if split == 'validation' else split}.csv", rows)
    assert find_converter(tmp_path).layout == "tables"
    release = Tables().read(tmp_path)
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}
    assert release.mentions["id"].tolist()[20] == "dev-000000"
    assert not any("drawn" in note for note in release.notes)


def test_a_split_without_a_file_is_said_and_train_alone_is_no_split(tmp_path: Path) -> None:
    write_table(tmp_path / "entities.csv", entity_rows())
    write_table(tmp_path / "train.csv", mention_rows())
    assert set(Tables().read(tmp_path).mentions["split"]) == {None}  # they are drawn
    write_table(tmp_path / "test.csv", mention_rows()[:2])
    release = Tables().read(tmp_path)
    assert set(release.mentions["split"]) == {"train", "test"}
    assert "no file of dev: the split is empty" in release.notes


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["mentions.csv", "train.csv"], "mentions.csv and train.csv"),
        (["dev.csv", "validation.csv"], "dev.csv and validation.csv"),
        (["train.csv", "data/train.csv"], "data/train.csv and train.csv"),
    ],
)
def test_two_files_of_one_kind_are_named(tmp_path: Path, names: list[str], found: str) -> None:
    write_table(tmp_path / "entities.csv", entity_rows())
    for name in names:
        write_table(tmp_path / name, mention_rows())
    with pytest.raises(DataError, match=f"found    {found}"):
        Tables().read(tmp_path)


def encoded(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


COLOURS = [(number * 30, 99, 9) for number in range(len(PEOPLE))]


def write_hugging_face(root: Path) -> Path:
    """A folder as a hub has it: shards by split, images in the cells."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": encoded(colour), "path": f"{number}.png"} for number, colour in enumerate(COLOURS)]
    (root / "data").mkdir(parents=True)
    (root / "entities").mkdir()
    (root / "README.md").write_text("---\nconfigs: []\n---\n")
    rows = [{k: v for k, v in row.items() if k != "image"} for row in entity_rows()]
    table = pa.Table.from_pylist(rows).append_column("image", pa.array(images, kind))
    pq.write_table(table, root / "entities" / "train-00000-of-00001.parquet")
    for split, of in SPLITS.items():
        for shard, part in enumerate((of[: len(of) // 2], of[len(of) // 2 :])):
            cells = [images[int(row["entity_id"])] if int(row["entity_id"]) else None for row in part]
            rows = [{k: v for k, v in row.items() if k != "image"} for row in part]
            table = pa.Table.from_pylist(rows).append_column("image", pa.array(cells, kind))
            pq.write_table(table, root / "data" / f"{split}-{shard:05d}-of-00002.parquet")
    return root


def check_images(dataset: Dataset) -> None:
    for number, colour in enumerate(COLOURS):
        (path,) = dataset.entity(str(number)).images
        assert load_image(dataset.image_root / path, dataset.image_root).getpixel((0, 0)) == colour
    assert {split: dataset.meta["num_mentions"][split] for split in ("dev", "test")} == {"dev": 4, "test": 4}
    assert dataset.meta["mentions_without_image"] == sum(row["entity_id"] == "0" for row in mention_rows())


def test_a_hugging_face_folder_is_prepared_with_its_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_hugging_face(tmp_path / "hub")
    before = sorted(root.rglob("*"))
    dataset = prepare(root, tmp_path / "out" / "mine", audit=False)
    check_images(dataset)
    assert sorted(root.rglob("*")) == before
    shown = " ".join(capsys.readouterr().out.split())
    assert f"note: 32 images that stand in the tables were written to {tmp_path / 'out' / 'mine-images'}" in shown
    assert "dim fit --config own --data.root" in shown
    (tmp_path / "out").rename(tmp_path / "moved")
    check_images(Dataset(tmp_path / "moved" / "mine"))
    check_images(prepare(root, tmp_path / "moved" / "mine", audit=False))


def test_fit_opens_such_a_folder_by_itself_and_notices_a_shard_that_changed(tmp_path: Path) -> None:
    root = write_hugging_face(tmp_path / "hub")
    first = open_dataset(root, tmp_path / "cache")
    check_images(first)
    assert open_dataset(root, tmp_path / "cache").root == first.root
    (root / "data" / "test-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"2 shards of test in .*data\nfound    test-00000-of-00002.parquet"):
        open_dataset(root, tmp_path / "cache")


def test_a_parquet_file_alone_may_hold_bytes_as_images(tmp_path: Path) -> None:
    rows = [row | {"image": encoded(COLOURS[number])} for number, row in enumerate(entity_rows())]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "entities.parquet")
    write_table(tmp_path / "mentions.csv", [{k: v for k, v in row.items() if k != "image"} for row in mention_rows()])
    dataset = prepare(tmp_path, tmp_path.with_name(f"{tmp_path.name}-out"), audit=False)
    (path,) = dataset.entity("1").images
    assert load_image(dataset.image_root / path, dataset.image_root).getpixel((0, 0)) == COLOURS[1]
    shutil.rmtree(dataset.root)


def test_bytes_elsewhere_are_never_shown_nor_kept(tmp_path: Path) -> None:
    rows = [row | {"thumbnail": b"SECRET" * 9} for row in entity_rows()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "entities.parquet")
    write_table(tmp_path / "mentions.csv", mention_rows())
    assert "SECRET" not in Tables().read(tmp_path).entities.to_json()
    for column in ("popularity", "name", "id", "description", "aliases"):
        pq.write_table(pa.Table.from_pylist([row | {column: b"SECRET"} for row in rows]), tmp_path / "entities.parquet")
        with pytest.raises(DataError) as caught:
            Tables().read(tmp_path)
        assert "SECRET" not in str(caught.value)
