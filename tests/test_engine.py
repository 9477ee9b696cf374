import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dim.core import jobs as engine
from dim.core.jobs import Block, Plan, Workplace
from dim.errors import StorageError

PLAN = Plan("key", num_rows=10, width=3, block_size=4)


def block(index: int, plan: Plan = PLAN) -> Block:
    rows = plan.block(index)
    values = np.arange(rows.start * plan.width, rows.stop * plan.width, dtype=np.float32)
    return Block(index, values.reshape(len(rows), plan.width), {"said": f"é{index}"})


def finish(folder: Path, plan: Plan = PLAN, name: str = "done") -> np.ndarray:
    work = Workplace(folder, plan)
    for index in work.pending:
        work.write(block(index, plan))
    work.publish(folder.parent / name)
    return np.load(folder.parent / name / "matrix.npy")


@given(st.integers(0, 200), st.integers(1, 50), st.integers(1, 50))
def test_batches_cover_each_row_once_and_never_cross_a_block(num_rows: int, block_size: int, batch_size: int) -> None:
    plan = Plan("k", num_rows, 1, block_size)
    batches = [batch for index in range(plan.num_blocks) for batch in plan.batches(index, batch_size)]
    assert [row for batch in batches for row in batch] == list(range(num_rows))
    assert all(batch[0] // block_size == batch[-1] // block_size and len(batch) <= batch_size for batch in batches)


def test_blocks_in_any_order_give_the_same_file(tmp_path: Path) -> None:
    expected = finish(tmp_path / "a")
    work = Workplace(tmp_path / "b", PLAN)
    for index in (2, 0, 1):
        work.write(block(index))
    work.publish(tmp_path / "other")
    assert (tmp_path / "other/matrix.npy").read_bytes() == (tmp_path / "done/matrix.npy").read_bytes()
    assert expected.tolist() == np.arange(30, dtype=np.float32).reshape(10, 3).tolist()
    assert not (tmp_path / "a").exists()


def test_work_is_taken_up_where_it_stood(tmp_path: Path) -> None:
    Workplace(tmp_path / "w", PLAN).write(block(1))
    work = Workplace(tmp_path / "w", PLAN)
    assert work.pending == [0, 2]
    assert work.notes == {1: {"said": "é1"}}
    assert work.num_rows_done == 4


def test_other_work_in_the_same_place_is_started_over(tmp_path: Path) -> None:
    Workplace(tmp_path / "w", PLAN).write(block(0))
    assert Workplace(tmp_path / "w", Plan("other", 10, 3, 4)).pending == [0, 1, 2]


@pytest.mark.parametrize("damage", ["half a line", "no newline", "not JSON", "unknown block", "changed note", "rows"])
def test_a_damaged_block_is_done_again_and_the_others_stay(tmp_path: Path, damage: str) -> None:
    work = Workplace(tmp_path / "w", PLAN)
    work.write(block(0))
    work.write(block(1))
    progress = tmp_path / "w/progress.jsonl"
    first, second = progress.read_bytes().splitlines(keepends=True)
    if damage == "rows":
        with work.matrix_path.open("r+b") as matrix:
            matrix.seek(128 + 4 * 4 * 3)
            matrix.write(b"\xff")
    else:
        bad = {
            "half a line": second[: len(second) // 2],
            "no newline": second[:-1],
            "not JSON": b"\x00\xff\n",
            "unknown block": second.replace(b'"block": 1', b'"block": 7'),
            "changed note": second.replace(b"u00e91", b"u00e92"),
        }[damage]
        assert bad != second
        progress.write_bytes(first + bad)
    assert Workplace(tmp_path / "w", PLAN).pending == [1, 2]
    assert progress.read_bytes() == first
    assert finish(tmp_path / "w").tolist() == np.arange(30, dtype=np.float32).reshape(10, 3).tolist()


@pytest.mark.parametrize("name", ["plan.json", "result/matrix.npy"])
def test_a_garbled_workplace_is_started_over(tmp_path: Path, name: str) -> None:
    Workplace(tmp_path / "w", PLAN).write(block(0))
    path = tmp_path / "w" / name
    path.write_bytes(path.read_bytes()[:-3])
    assert Workplace(tmp_path / "w", PLAN).pending == [0, 1, 2]


def test_rows_of_no_width_and_no_rows_at_all_finish(tmp_path: Path) -> None:
    notes_only = Plan("k", 5, 0, 2)
    work = Workplace(tmp_path / "n", notes_only)
    work.write(block(0, notes_only))
    assert Workplace(tmp_path / "n", notes_only).pending == [1, 2]
    assert finish(tmp_path / "n", notes_only, "notes").shape == (5, 0)
    assert finish(tmp_path / "e", Plan("k", 0, 3, 2), "empty").shape == (0, 3)


def test_publishing_replaces_what_stood_there(tmp_path: Path) -> None:
    (tmp_path / "done").mkdir()
    (tmp_path / "done/old").write_text("old")
    finish(tmp_path / "w")
    assert [path.name for path in (tmp_path / "done").iterdir()] == ["matrix.npy"]


def test_a_disk_that_fills_while_writing_is_an_error_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Workplace(tmp_path / "w", PLAN)
    work.write(block(0))

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(engine.os, "pwrite", full)
        with pytest.raises(StorageError, match=r"a full disk.*\n.*run the same command again: it goes on from here"):
            work.write(block(1))
    assert Workplace(tmp_path / "w", PLAN).pending == [1, 2]
    assert len(finish(tmp_path / "w")) == 10


def test_a_disk_that_is_too_small_is_found_out_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(engine.os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="space to write"):
        Workplace(tmp_path / "w", PLAN)


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(engine.os, "pwrite", lambda fd, data, offset: pwrite(fd, bytes(data[:5]), offset))
    assert finish(tmp_path / "w").tolist() == np.arange(30, dtype=np.float32).reshape(10, 3).tolist()
