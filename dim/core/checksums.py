"""What was read of files, such as checksums, remembered as long as they stay as they are: a large one is read once.

As Git does with its index, a file is known again by its device, inode, size and times: whoever writes to it changes
the last of them. What of a large folder was read is kept in `~/.cache/dim/checksums`; without that all is read again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypedDict

from dim.core.files import cache_folder, content_hash, write_json
from dim.core.folder_files import peek_json
from dim.errors import StorageError

SETTLED = 1.0  #: Seconds after which a change of a file changes its time, too, whatever the system's clock is good for.
MANY_BYTES = 2**26  #: Of a folder; what takes shorter to read is not kept.


class Known(TypedDict):
    """A file as it was read, what for, and what came of it."""

    state: list[int]
    kind: str
    found: str


class Kept(TypedDict):
    """What is kept of a folder."""

    folder: str
    files: dict[str, Known]


class Checksums:
    """Those of one process, which learns what others kept.

    Attributes:
        read: The sizes of the files that were read so far.
    """

    def __init__(self) -> None:
        self._known: dict[Path, Known] = {}
        self.read: list[int] = []

    def of(self, path: Path) -> str:
        """The SHA-256 of a file, in hexadecimal, read or known."""
        return self.found(path, "sha256", lambda: sha256(path))

    def found(self, path: Path, kind: str, read: Callable[[], str]) -> str:
        """What `read` finds of a file, read or known; what it raises is not remembered.

        Args:
            path: Of the file.
            kind: All that `read` depends on beside the file.
            read: Reads it.
        """
        state, place = _state(path), path.absolute()
        known = self._known.get(place)
        if known is not None and (known["state"], known["kind"]) == (state, kind):
            return known["found"]
        self.read.append(state[2])
        found = read()
        if time.time() - max(state[-2:]) / 1e9 > SETTLED and _state(path) == state:
            self._known[place] = {"state": state, "kind": kind, "found": found}
        return found

    @contextmanager
    def kept(self, folder: Path) -> Iterator[None]:
        """Within it the files of a folder are known as they were kept, and at its end kept, where many were read."""
        place = folder.absolute()
        file = cache_folder() / "checksums" / f"{content_hash(str(place))}.json"
        with suppress(OSError, ValueError):
            kept: Kept = peek_json(file, Kept)
            for name, known in kept["files"].items() if kept["folder"] == str(place) else ():
                self._known.setdefault(place / name, known)
        before = len(self.read)
        yield
        if sum(self.read[before:]) >= MANY_BYTES:
            inside = ((path, known) for path, known in list(self._known.items()) if place in path.parents)
            own = {path.relative_to(place).as_posix(): known for path, known in inside}
            with suppress(OSError, StorageError):  # then it is read again, that is all
                write_json(file, Kept(folder=str(place), files=own))


#: Of this process.
CHECKSUMS = Checksums()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
