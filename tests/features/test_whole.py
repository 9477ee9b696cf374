"""Features that are not what was written are found when they are opened, and never trained on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lacking import no_privileges

from dim.core import checksums
from dim.core.jobs import Block, Workplace
from dim.errors import DataError, StorageError
from dim.features import whole
from dim.features.cache import FeatureCache, Recipe, open_features
from dim.features.inputs import Inputs
from tests.features.computed import computed

RECIPE = Recipe("name", "text", "an encoder", width=2, block_size=3)
INPUTS = Inputs.of_texts([*"abcdefg", None, "a"])
VALUES = np.arange(14, dtype=np.float32).reshape(7, 2)


def blocks(work: Workplace) -> Iterator[Block]:
    return (Block(index, VALUES[np.array(work.plan.block(index))]) for index in work.pending)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    computed(FeatureCache(tmp_path), RECIPE, INPUTS, blocks)
    return FeatureCache(tmp_path).folder(RECIPE, INPUTS)


def flip(path: Path, place: int) -> None:
    """One bit of a file, whose size and form stay."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def older(folder: Path) -> None:
    """As a version before checksums wrote it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["checksums"]
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


@pytest.mark.parametrize(("row", "named"), [(0, "block 1 of 3 (rows 0 to 2)"), (6, "block 3 of 3 (rows 6 to 6)")])
def test_one_wrong_bit_is_named_by_its_block_and_the_features_are_computed_anew(
    folder: Path, row: int, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(folder / "matrix.npy", (folder / "matrix.npy").stat().st_size - VALUES.nbytes + row * 8)
    assert open_features(folder) is None
    assert f"{folder} is damaged: {named}" in capsys.readouterr().err
    found = computed(FeatureCache(folder.parent), RECIPE, INPUTS, blocks)
    assert np.array_equal(found.matrix, VALUES)
    assert open_features(folder) is not None


def test_one_wrong_bit_in_the_owners_rows_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(folder / "rows.npy", (folder / "rows.npy").stat().st_size - 8)
    assert open_features(folder) is None
    assert "rows.npy differs from its checksum" in capsys.readouterr().err


def test_a_disk_that_keeps_something_else_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    def garbled(work: Workplace) -> Iterator[Block]:
        for block in blocks(work):
            yield block
            flip(work.matrix_path, work.matrix_path.stat().st_size - VALUES.nbytes)

    with pytest.raises(StorageError, match="as they were written"):
        computed(FeatureCache(tmp_path), RECIPE, INPUTS, garbled)


def test_an_older_cache_gets_checksums_at_its_first_opening_and_that_is_said_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = json.loads((folder / "manifest.json").read_text())["checksums"]
    older(folder)
    assert open_features(folder) is not None
    assert f"{folder.name} was written before features had checksums; they are recorded now" in capsys.readouterr().err
    recorded = json.loads((folder / "manifest.json").read_text())["checksums"]
    assert recorded["files"] == written["files"]
    whole._found.clear()  # as in a new process
    assert open_features(folder) is not None
    assert capsys.readouterr().err == ""
    flip(folder / "matrix.npy", (folder / "matrix.npy").stat().st_size - 1)
    assert open_features(folder) is None


def test_an_older_cache_that_may_not_be_written_is_read_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older(folder)
    before = (folder / "manifest.json").read_bytes()
    folder.chmod(0o555)
    try:
        with no_privileges():
            assert open_features(folder) is not None
            assert open_features(folder) is not None
    finally:
        folder.chmod(0o755)
    said = capsys.readouterr().err
    assert said.count("they are compared in this process alone: they cannot be recorded (Permission denied)") == 1
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_encoder_block_and_owner(folder: Path, value: float) -> None:
    older(folder)
    matrix = np.load(folder / "matrix.npy")
    matrix[4, 1] = value
    np.save(folder / "matrix.npy", matrix)
    owner = int(np.flatnonzero(np.load(folder / "rows.npy") == 4)[0])
    with pytest.raises(DataError, match=f"by an encoder in .*\nfound .*block 1, row 4, of mention m{owner}\nto do"):
        open_features(folder, lambda row: f"mention m{row}")
    assert "checksums" not in json.loads((folder / "manifest.json").read_text())


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process learns of files is kept for the next one, however few bytes they have and how new they are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(checksums, "MANY_BYTES", 1)
    monkeypatch.setattr(checksums, "SETTLED", 0)


def in_a_new_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, int]:
    """Whether a process that starts takes the features, and how many blocks of the matrix it reads."""
    read, checksum = [], whole.checksum_of

    def noted(rows: np.ndarray) -> int:
        read.append(len(rows))
        return checksum(rows)

    with monkeypatch.context() as patch:
        patch.setattr(whole, "checksum_of", noted)
        patch.setattr(whole, "_found", {})
        patch.setattr(whole, "CHECKSUMS", checksums.Checksums())
        return open_features(folder) is not None, len(read)


def test_another_process_reads_a_matrix_only_where_its_file_has_changed(
    folder: Path, kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_a_new_process(folder, monkeypatch) == (True, 3)
    assert in_a_new_process(folder, monkeypatch) == (True, 0)
    path = folder / "matrix.npy"
    before = path.stat()
    flip(path, before.st_size - 1)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nothing had been written
    assert in_a_new_process(folder, monkeypatch) == (False, 3)
    flip(path, before.st_size - 1)
    assert in_a_new_process(folder, monkeypatch) == (True, 3)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["checksums"]["blocks"][1] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert in_a_new_process(folder, monkeypatch) == (False, 3)


def test_what_is_known_of_a_matrix_says_nothing_of_the_files_beside_it(
    folder: Path, kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_a_new_process(folder, monkeypatch) == (True, 3)
    flip(folder / "rows.npy", (folder / "rows.npy").stat().st_size - 8)
    assert in_a_new_process(folder, monkeypatch) == (False, 0)


def test_a_matrix_that_is_not_finite_is_refused_by_every_process(
    folder: Path, kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = np.load(folder / "matrix.npy")
    matrix[4, 1] = np.nan
    np.save(folder / "matrix.npy", matrix)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["checksums"]["blocks"][1] = whole.checksum_of(matrix[3:6])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for _ in range(2):
        with pytest.raises(DataError, match="NaN or infinity in block 2, row 4"):
            in_a_new_process(folder, monkeypatch)


def test_all_is_read_once_a_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(whole, "checksum_of", lambda rows: read.append(len(rows)) or 0)
    for _ in range(3):
        assert open_features(folder) is not None  # compared when it was computed
    assert read == []
    whole._found.clear()  # as in a new process
    for _ in range(3):
        open_features(folder)
    assert read == [3, 3, 1]
