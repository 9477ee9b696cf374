"""Parquet with images in its cells, as Hugging Face datasets have them."""

import hashlib
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dim.data import parquet_rows
from dim.data.parquet_rows import image_name, iter_parquet, write_packed_images
from dim.errors import DataError

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(colour: int, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (colour, 0, 0)).save(file, form)
    return file.getvalue()


RED, DARK = encoded(255), encoded(9, "JPEG")


def write(path: Path, kind: pa.DataType, cells: list[Any]) -> Path:
    pq.write_table(pa.table({"id": list(range(len(cells))), "image": pa.array(cells, kind)}), path)
    return path


CASES = [
    (STRUCT, [{"bytes": RED, "path": "a.png"}, {"bytes": None, "path": "b.png"}, None, {"bytes": DARK, "path": None}]),
    (pa.binary(), [RED, b"", None, DARK]),
]


@pytest.mark.parametrize(("kind", "cells"), CASES)
def test_a_cell_of_bytes_is_the_name_of_a_file_that_is_written(
    tmp_path: Path, kind: pa.DataType, cells: list[Any]
) -> None:
    path = write(tmp_path / "t.parquet", kind, cells)
    names = [row["image"] for _, row in iter_parquet(path, ["image"])]
    has_path = kind == STRUCT
    assert names == [image_name(RED), "b.png" if has_path else None, None, image_name(DARK)]
    assert names[0].endswith(".png")
    assert names[3].endswith(".jpg")
    assert write_packed_images(path, tmp_path / "images", ["image"]) == 2
    assert {file.name: file.read_bytes() for file in (tmp_path / "images").iterdir()} == {
        image_name(RED): RED,
        image_name(DARK): DARK,
    }


def test_lists_of_images_are_lists_of_names(tmp_path: Path) -> None:
    cells = [[{"bytes": RED, "path": ""}, {"bytes": DARK, "path": ""}], [], None]
    path = write(tmp_path / "t.parquet", pa.list_(STRUCT), cells)
    assert [row["image"] for _, row in iter_parquet(path)] == [[image_name(RED), image_name(DARK)], [], None]
    assert write_packed_images(path, tmp_path / "images") == 2


def test_equal_images_are_one_file_and_what_is_there_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.binary(), [RED] * 9)
    folder = tmp_path / "images"
    assert write_packed_images(path, folder, ["image"]) == 9
    before = (folder / image_name(RED)).stat().st_mtime_ns
    assert write_packed_images(path, folder, ["image"]) == 9
    assert (folder / image_name(RED)).stat().st_mtime_ns == before
    assert [file.name for file in folder.iterdir()] == [image_name(RED)]


def test_few_rows_are_read_at_once_where_images_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.parquet", pa.binary(), [bytes([n]) * 1000 for n in range(20)])
    monkeypatch.setattr(parquet_rows, "MOST_AT_ONCE", 60_000)
    sizes = [batch.num_rows for batch, _ in parquet_rows._batches(path, ["image"])]
    assert max(sizes) <= 2
    assert sum(sizes) == 20


def test_a_small_file_that_becomes_a_thousand_times_as_many_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_rows, "LEAST", 2**20)
    path = tmp_path / "t.parquet"
    table = pa.table({"image": pa.array([bytes(1 << 16)], pa.binary()).take(pa.array([0] * 300))})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)
    with pytest.raises(DataError, match="in proportion"):
        list(iter_parquet(path, ["image"]))


def test_no_message_carries_what_a_cell_holds(tmp_path: Path) -> None:
    secret = b"\xff\xd8SECRET" * 50
    array = pa.Array.from_buffers(pa.string(), 1, pa.array([secret], pa.binary()).buffers())
    pq.write_table(pa.table({"name": array}), tmp_path / "t.parquet")
    with pytest.raises(DataError) as caught:
        list(iter_parquet(tmp_path / "t.parquet"))
    assert "SECRET" not in str(caught.value)
    assert hashlib.sha256(secret).hexdigest()[:32] not in str(caught.value)
