"""A file that was read once is known again until it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dim.core import checksums
from dim.core.checksums import Checksums, sha256


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(checksums, "MANY_BYTES", 1)
    monkeypatch.setattr(checksums, "SETTLED", 0)
    place = tmp_path / "folder"
    (place / "inner").mkdir(parents=True)
    (place / "one").write_bytes(b"1" * 100)
    (place / "inner" / "two").write_bytes(b"2" * 200)
    return place


def read_of(folder: Path) -> tuple[list[str], list[int]]:
    """The checksums of the files of a folder by a process that starts, and the sizes of those that it read."""
    sums = Checksums()
    with sums.kept(folder):
        found = [sums.of(folder / name) for name in ("one", "inner/two")]
    return found, sums.read


def test_another_process_reads_what_has_changed_alone(folder: Path) -> None:
    expected = [sha256(folder / name) for name in ("one", "inner/two")]
    assert read_of(folder) == (expected, [100, 200])
    assert read_of(folder) == (expected, [])
    before = (folder / "one").stat()
    (folder / "one").write_bytes(b"3" * 100)
    os.utime(folder / "one", ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nothing had been written
    assert read_of(folder) == ([sha256(folder / "one"), expected[1]], [100])
    assert read_of(folder)[1] == []
    (folder / "one").replace(folder / "old")
    (folder / "one").write_bytes(b"3" * 100)
    assert read_of(folder)[1] == [100]


def test_a_file_that_was_read_for_something_else_is_read_again(folder: Path) -> None:
    sums = Checksums()
    assert [sums.found(folder / "one", kind, lambda kind=kind: f"a {kind}") for kind in "xxy"] == ["a x", "a x", "a y"]
    assert sums.read == [100, 100]


def test_what_was_just_written_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "SETTLED", 3600)
    assert read_of(folder)[1] == [100, 200]
    assert read_of(folder)[1] == [100, 200]


@pytest.mark.parametrize("record", ["", "[]", '{"folder": "elsewhere", "files": {}}', None])
def test_a_record_that_is_none_or_cannot_be_written_costs_a_reading(folder: Path, record: str | None) -> None:
    read_of(folder)
    caches = folder.parent / "caches" / "dim" / "checksums"
    [kept] = caches.iterdir()
    if record is None:
        kept.unlink()
        caches.rmdir()
        caches.write_text("a file")
    else:
        kept.write_text(record)
    assert read_of(folder)[1] == [100, 200]


def test_a_small_folder_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "MANY_BYTES", 301)
    read_of(folder)
    assert not (folder.parent / "caches").exists()
