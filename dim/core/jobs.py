"""Work cut into blocks of rows: planned once, done in any number of sittings, whole after any kill or power cut.

A `Workplace` is a folder on its way to a finished one:

    plan.json        what the rows are, how many, how wide, how many a block
    progress.jsonl   one line a finished block: its index, its note, the checksum of rows and note
    result/          becomes the finished folder; its matrix.npy has the final size from the start

A block's line follows its rows, each after an fsync, so a kill costs at most the block that it fell into. Blocks
may come in any order and from anywhere: an `Executor` computes them in this process or on a cluster
(`dim.core.ray_cluster`), and the one process that holds the workplace writes them.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dim.core.files import (
    atomic_path,
    explain_write_errors,
    growing,
    make_folder,
    put_in_place,
    sync_names,
    write_all,
    write_json,
)
from dim.core.folder_files import json_value, peek_json
from dim.errors import DataError

Dtype = Literal["float32", "float16"]


@dataclass(frozen=True)
class Plan:
    """Rows 0 … num_rows - 1 of numbers [width], in blocks of `block_size`.

    Attributes:
        key: A hash of what the rows are; unfinished work under another key is thrown away.
        num_rows: The number of rows.
        width: The number of columns; 0 where a block's note is all that counts.
        block_size: Rows a block. The last block may be shorter.
    """

    key: str
    num_rows: int
    width: int
    block_size: int

    @property
    def num_blocks(self) -> int:
        """The number of blocks; 0 where there are no rows."""
        return -(-self.num_rows // self.block_size)

    def block(self, index: int) -> range:
        """The rows of one block."""
        return range(index * self.block_size, min((index + 1) * self.block_size, self.num_rows))

    def batches(self, index: int, batch_size: int) -> list[range]:
        """The rows of one block, cut into batches. No batch crosses a block, so a resumed run meets the same batches.

        Example:
            >>> Plan("k", num_rows=10, width=1, block_size=6).batches(0, 4)
            [range(0, 4), range(4, 6)]
        """
        rows = self.block(index)
        return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


@dataclass(frozen=True)
class Block:
    """A finished block: its rows [len(plan.block(index)), width] and what is to be remembered of it, as JSON.

    Where rows are ragged (`Workplace`), it has the vectors of all of them, one after another.
    """

    index: int
    rows: NDArray[Any]
    note: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def checksum(self) -> int:
        """CRC-32 of rows and note: finds a garbled disk, not an enemy."""
        note = json.dumps(self.note, sort_keys=True).encode()
        return checksum_of(self.rows, zlib.crc32(note))


def checksum_of(rows: NDArray[Any], before: int = 0) -> int:
    """CRC-32 of rows as they stand in a matrix on disk, going on from that of what stands before them."""
    return zlib.crc32(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data, before)


#: (inputs, one a row of the plan; plan; indices of blocks) → these blocks, in any order. A pure function: a block
#: depends on its own inputs, and on nothing that was computed before it.
Compute = Callable[[Sequence[Any], Plan, list[int]], Iterator[Block]]


class Executor(ABC):
    """Where blocks are computed."""

    @abstractmethod
    def blocks(
        self, compute: Compute, inputs: Sequence[Any], plan: Plan, pending: list[int], advance: Callable[[int], None]
    ) -> Iterator[Block]:
        """The pending blocks, in any order, each once.

        Args:
            compute: What gives a block. It pickles, if it shall run elsewhere.
            inputs: [plan.num_rows] texts, or nested tuples of texts and numbers.
            plan: The blocks.
            pending: Their indices.
            advance: Told the number of rows done, where `compute` cannot tell it from where it runs.
        """


class ThisProcess(Executor):
    """Computes all blocks in one call, here; what `compute` decodes ahead then runs through all of them."""

    def blocks(
        self, compute: Compute, inputs: Sequence[Any], plan: Plan, pending: list[int], advance: Callable[[int], None]
    ) -> Iterator[Block]:
        """The pending blocks in order. `advance` is not called: `compute` tells itself what it has done."""
        return compute(inputs, plan, pending)


def compute_block(compute: Compute, inputs: Sequence[Any], key: str, width: int, index: int) -> Block:
    """One block of a larger plan, from its own inputs alone: the same as among all the others."""
    (block,) = compute(inputs, Plan(key, len(inputs), width, max(1, len(inputs))), [0])
    return Block(index, block.rows, block.note)


class Workplace:
    """Unfinished work on disk: takes up what a former run left, or starts over where that is of no use.

    Args:
        folder: Where the work stands until it is finished.
        plan: What is to be done.
        lengths: [num_rows], how many vectors each row has room for; None: each is one vector.
        dtype: Of the numbers on the disk.

    Raises:
        StorageError: The matrix does not fit on the disk. Its whole space is reserved at the start, so that a disk
            too small is found out in the first second and not after hours.
    """

    def __init__(
        self, folder: Path, plan: Plan, lengths: NDArray[np.int64] | None = None, dtype: Dtype = "float32"
    ) -> None:
        self.folder, self.plan, self.dtype = folder, plan, np.dtype(dtype)
        #: [num_rows + 1], where the vectors of each row start; None: each is one vector.
        self.starts = None if lengths is None else np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.result = folder / "result"
        self.matrix_path = self.result / "matrix.npy"
        self._header = _npy_header((self.vectors_until(plan.num_rows), plan.width), self.dtype)
        self.notes: dict[int, dict[str, Any]] = {}
        self._of_rows: dict[int, int] = {}
        with explain_write_errors(folder):
            if self._is_usable():
                self._read_progress()
            else:
                self._start()

    def vectors_until(self, row: int) -> int:
        """How many vectors stand before a row."""
        return row if self.starts is None else int(self.starts[row])

    @property
    def pending(self) -> list[int]:
        """The blocks that are still to be done."""
        return [index for index in range(self.plan.num_blocks) if index not in self.notes]

    @property
    def num_rows_done(self) -> int:
        """The rows in finished blocks."""
        return sum(len(self.plan.block(index)) for index in self.notes)

    @property
    def checksums(self) -> list[int]:
        """`checksum_of` the rows of each finished block, in their order, as they were when they came."""
        return [self._of_rows[index] for index in sorted(self._of_rows)]

    def write(self, block: Block) -> None:
        """Puts a block on the disk, then its line in the progress file.

        Raises:
            StorageError: The disk is full; what was finished before stays, and the next run goes on from there.
            DataError: A number is too large for the dtype.
        """
        block = replace(block, rows=self._of_dtype(block.rows))
        line = json.dumps({"block": block.index, "note": block.note, "checksum": block.checksum}) + "\n"
        with explain_write_errors(self.folder, "Free some space and run the same command again: it goes on from here."):
            self._write_rows(block)
            with growing(self.folder / "progress.jsonl") as add:
                add(line.encode())
        self.notes[block.index], self._of_rows[block.index] = block.note, checksum_of(block.rows)

    def publish(self, final: Path) -> None:
        """Gives the finished folder its name; what stood there is removed."""
        with explain_write_errors(final):
            if final.exists():
                shutil.rmtree(final)
            put_in_place(self.result, final)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _is_usable(self) -> bool:
        try:
            plan = peek_json(self.folder / "plan.json", dict[str, Any])
            with self.matrix_path.open("rb") as matrix:
                header = matrix.read(len(self._header))
            size = self.matrix_path.stat().st_size
        except (OSError, ValueError):
            return False
        return plan == asdict(self.plan) and header == self._header and size == self._offset(self.plan.num_rows)

    def _start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        make_folder(self.result)
        with self.matrix_path.open("wb") as matrix:
            matrix.write(self._header)
            matrix.flush()
            _reserve(matrix.fileno(), self._offset(self.plan.num_rows))
            os.fsync(matrix.fileno())
        sync_names(self.result)
        (self.folder / "progress.jsonl").touch()
        write_json(self.folder / "plan.json", asdict(self.plan))  # with which both names are on the disk, too

    def _read_progress(self) -> None:
        """Takes the lines that are whole and whose rows are as they were written; drops the others."""
        path = self.folder / "progress.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        is_empty = not self.vectors_until(self.plan.num_rows) * self.plan.width
        matrix = None if is_empty else np.load(self.matrix_path, mmap_mode="r")
        good = []
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):
                entry = json_value(line, dict[str, Any])
                rows = self.plan.block(entry["block"])
                vectors = slice(self.vectors_until(rows.start), self.vectors_until(rows.stop))
                stored = np.zeros((len(rows), 0), self.dtype) if matrix is None else matrix[vectors]
                block = Block(entry["block"], stored, entry["note"])
                if line.endswith(b"\n") and len(rows) and block.checksum == entry["checksum"]:
                    self.notes[block.index] = block.note
                    self._of_rows[block.index] = checksum_of(stored)
                    good.append(line)
        if good != lines:
            with atomic_path(path) as temporary:
                temporary.write_bytes(b"".join(good))

    def _of_dtype(self, rows: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore"):
            cast = np.ascontiguousarray(rows, dtype=self.dtype)
        if self.dtype != np.float32 and np.isinf(cast).any():
            most = np.finfo(self.dtype).max
            raise DataError(f"numbers up to {most:,.0f}, as {self.dtype} holds", "larger ones", "Use float32.")
        return cast

    def _write_rows(self, block: Block) -> None:
        fd = os.open(self.matrix_path, os.O_WRONLY)
        try:
            write_all(fd, block.rows.tobytes(), self._offset(self.plan.block(block.index).start))
            os.fsync(fd)
        finally:
            os.close(fd)

    def _offset(self, row: int) -> int:
        return len(self._header) + self.vectors_until(row) * self.plan.width * self.dtype.itemsize


def _npy_header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    # Not NumPy's open_memmap: a full disk ends a process that writes to a mapping, where pwrite raises an error.
    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _reserve(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:  # macOS
        os.ftruncate(fd, size)
