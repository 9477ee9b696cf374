"""Arrow files are mapped, and those of a stranger are read within bounds."""

import random
import struct
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from dim.core import arrow_file
from dim.core.arrow_file import map_arrow, write_arrow
from dim.errors import DataError

SCHEMA = pa.schema([("row", pa.int64()), ("name", pa.string()), ("others", pa.list_(pa.string()))])


def table_of(count: int) -> pa.Table:
    columns = {
        "row": range(count),
        "name": [f"é{row}" for row in range(count)],
        "others": [["a", "b"], None] * (count // 2),
    }
    return pa.table({name: list(values) for name, values in columns.items()}, schema=SCHEMA)


def mapped(path: Path) -> pa.Table:
    return map_arrow(path, SCHEMA, "a table", "Write it again.")


@pytest.mark.parametrize("count", [0, 10, 64])
def test_a_table_comes_back_mapped_and_lives_on_without_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(arrow_file, "ROWS", 16)
    table, path = table_of(count), tmp_path / "a.arrow"
    write_arrow(table, path)
    assert len(pd.read_feather(path)) == count
    before = pa.total_allocated_bytes()
    found = mapped(path)
    assert pa.total_allocated_bytes() == before
    assert found["name"].num_chunks == -(-count // 16)
    path.write_bytes(b"") if count == 0 else path.unlink()
    assert found.equals(table)


def test_many_small_chunks_become_few(tmp_path: Path) -> None:
    write_arrow(pa.concat_tables([table_of(2)] * 100), tmp_path / "a.arrow")
    assert mapped(tmp_path / "a.arrow")["name"].num_chunks == 1


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_what_is_compressed_is_refused_before_it_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    path = tmp_path / "a.arrow"
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA, options=options) as writer:
        writer.write_table(table_of(10_000))
    monkeypatch.setattr(pa.ipc, "read_record_batch", None)  # which would expand it
    with pytest.raises(DataError, match="compressed buffers"):
        mapped(path)


def test_other_columns_messages_and_files_are_refused(tmp_path: Path) -> None:
    path, names = tmp_path / "a.arrow", table_of(10)["name"]
    for wrong in (pa.table({"row": range(10)}), pa.table({"row": names, "name": names, "others": names})):
        write_arrow(wrong, path)
        with pytest.raises(DataError, match="of other types"):
            mapped(path)
    coded = pa.table({"row": names.dictionary_encode()})
    write_arrow(coded, path)
    with pytest.raises(DataError, match="a dictionary in the place of a record batch"):
        map_arrow(path, coded.schema, "a table", "Write it again.")
    for content in (b"", b"ARROW1", b"ARROW1\0\0", b"ARROW1\0\0" + struct.pack("<Ii", 2**32 - 1, 2**31 - 1), b"a" * 99):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a damaged a\.arrow"):
            mapped(path)


def test_a_file_with_any_bytes_changed_is_a_table_within_its_bounds_or_refused(tmp_path: Path) -> None:
    path, draw = tmp_path / "a.arrow", random.Random(0)
    write_arrow(table_of(40), path)
    good, refused = path.read_bytes(), 0
    for number in range(1_000):
        content = bytearray(good[: draw.randrange(len(good))] if number % 10 == 0 else good)
        for _ in range(draw.choice([1, 1, 4])):
            place = draw.randrange(len(content))
            value = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
            content[place : place + draw.choice([1, 4])] = bytes([value]) * draw.choice([1, 4])
        path.write_bytes(content)
        try:
            read = mapped(path).to_pylist()
            assert len(repr(read)) < 10 * len(repr(table_of(40).to_pylist()))
        except DataError:
            refused += 1
    assert 100 < refused < 1_000
