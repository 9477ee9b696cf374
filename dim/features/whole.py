"""Whether features on the disk are still what was written: a checksum a block, compared while files may have changed.

`dim.core.checksums` remembers between processes what was compared: a large matrix is read once, not at each start.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.checksums import CHECKSUMS
from dim.core.files import content_hash, write_json
from dim.core.jobs import Workplace, checksum_of
from dim.core.mapped import dropped
from dim.display.lines import warn
from dim.encoders.base import Features
from dim.errors import DataError, StorageError

KEY = "checksums"  #: In the manifest.
MATRIX, MANIFEST = "matrix.npy", "manifest.json"
FILES = (
    "rows.npy",
    "starts.npy",
    "lengths.npy",
    "files.json",
    "captions.parquet",
)  #: Beside the matrix.
BLOCK_SIZE = 4096  #: Rows, where an older version recorded none.

Owner = Callable[[int], str]  #: What the owner of a row of `rows.npy` is called.
#: State of a folder's files → what was found damaged in it, in words; None: nothing.
_found: dict[tuple[Any, ...], str | None] = {}


def checksums_of(work: Workplace) -> dict[str, Any]:
    """What the manifest says of finished work: CRC-32 of each block as it came, and of the files beside the matrix."""
    return {"block_size": work.plan.block_size, "blocks": work.checksums, "files": _of_files(work.result)}


def damage(
    folder: Path,
    manifest: Mapping[str, Any],
    matrix: Features,
    rows: NDArray[np.int64],
    owner: Owner,
    starts: NDArray[np.int64] | None = None,
) -> str | None:
    """What of a finished folder is not as it was written, in words that stderr gets, too; None where all is.

    The matrix is read where its file is not known to be as it was read before. Where an older version wrote no
    checksums, those of what is found are recorded.

    Args:
        folder: The features.
        manifest: Its manifest.
        matrix: [num_vectors, width].
        rows: [num_owners].
        owner: For the message.
        starts: [num_unique + 1], where the vectors of each input start; None: each has one.

    Raises:
        DataError: A value is NaN or infinite, though no block differs from what was written.
    """
    state = _state(folder)
    if state not in _found:
        starts = np.arange(len(matrix) + 1) if starts is None else starts
        read = partial(_checksums, folder, manifest, matrix, rows, owner, starts)
        if KEY in manifest:
            _found[state] = differs = _difference(folder, manifest[KEY], read, len(starts) - 1)
            if differs is not None:
                warn(f"warning: {folder} is damaged: {differs}; its features are computed anew")
        else:
            here = {"block_size": BLOCK_SIZE, "blocks": read(), "files": _of_files(folder)}
            _found[state] = None
            _record(folder, {**manifest, KEY: here})
            _found[_state(folder)] = None
            return None
    return _found[state]


def _state(folder: Path) -> tuple[Any, ...]:
    """Changes with every change of the files that a system tells of."""
    status = [(folder / name).stat() for name in (MANIFEST, MATRIX, *FILES) if (folder / name).exists()]
    return folder.resolve(), *((each.st_ino, each.st_size, each.st_mtime_ns) for each in status)


def _blocks(matrix: Features, size: int, starts: NDArray[np.int64]) -> Iterator[Features]:
    """The vectors of each `size` inputs; of a mapped file no more than these count to this process."""
    for start, stop in pairwise([*starts[:-1:size].tolist(), len(matrix)]):
        yield matrix[start:stop]
        dropped(matrix)


def _of_files(folder: Path) -> dict[str, int]:
    return {name: zlib.crc32((folder / name).read_bytes()) for name in FILES if (folder / name).exists()}


def _difference(folder: Path, written: Mapping[str, Any], read: Callable[[], list[int]], num_rows: int) -> str | None:
    """What of the files is not as it was written; the matrix is read where that is not known."""

    def differing_block() -> str:
        here = read()
        for index, pair in enumerate(zip(written["blocks"], here, strict=True)):
            if pair[0] != pair[1]:
                first = index * written["block_size"]
                rows = f"rows {first:,} to {min(num_rows, first + written['block_size']) - 1:,}"
                return f"block {index + 1:,} of {len(here):,} ({rows}) differs from its checksum"
        return ""

    with CHECKSUMS.kept(folder):
        kind = f"blocks as of {content_hash(json.dumps(written))}"
        if differs := CHECKSUMS.found(folder / MATRIX, kind, differing_block):
            return differs
    here = _of_files(folder)
    name = next((name for name, checksum in written["files"].items() if here.get(name) != checksum), None)
    return None if name is None else f"{name} differs from its checksum"


def _checksums(
    folder: Path,
    manifest: Mapping[str, Any],
    matrix: Features,
    rows: NDArray[np.int64],
    owner: Owner,
    starts: NDArray[np.int64],
) -> list[int]:
    """Of each block of the matrix. Raises DataError where it is as it was written, and not finite."""
    written = manifest.get(KEY)
    size = written["block_size"] if written else BLOCK_SIZE
    read = [(checksum_of(block), bool(np.isfinite(block).all())) for block in _blocks(matrix, size, starts)]
    here = [checksum for checksum, _ in read]
    if all(is_finite for _, is_finite in read) or (written and here != written["blocks"]):
        return here
    is_finite = np.concatenate([np.isfinite(block).all(axis=1) for block in _blocks(matrix, size, starts)])
    row = int(np.searchsorted(starts, int(is_finite.argmin()), side="right")) - 1
    owners = np.flatnonzero(rows == row)
    of = f", of {owner(int(owners[0]))}" if len(owners) else ""
    raise DataError(
        f"finite features of {manifest['field']} by {manifest['encoder']} in {folder}",
        f"NaN or infinity in block {row // size + 1:,}, row {row:,}{of}",
        "Remove that folder and run the same command again: it is computed anew, and an encoder that gives "
        "such values is refused.",
    )


def _record(folder: Path, manifest: Mapping[str, Any]) -> None:
    said = "recorded now"
    try:
        write_json(folder / MANIFEST, manifest)
    except StorageError as error:
        said = f"compared in this process alone: they cannot be recorded ({error.found})"
    warn(f"note: {folder.name} was written before features had checksums; they are {said}")
