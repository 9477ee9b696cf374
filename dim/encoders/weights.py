"""What a file of weights is known by: the hash of its content, taken once in a process."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from dim.core.checksums import sha256
from dim.core.files import content_hash


def hash_files(paths: Iterable[Path]) -> str:
    """A hash of the names and contents of files, whatever folder they stand in."""
    parts: list[str] = []
    for path in sorted(paths, key=lambda path: path.name):
        status = path.stat()
        parts += [path.name, _hash_file(path.resolve(), status.st_size, status.st_mtime_ns)]
    return content_hash(*parts)


@cache
def _hash_file(path: Path, size: int, mtime_ns: int) -> str:
    """Size and time are there for the memory alone: a file that changed is read again."""
    return sha256(path)
