"""Folders that another process replaces while they are read: what was read is of one of them, or nothing is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dim.errors import DataError

OPENINGS = 5  #: Of a folder that others take the place of meanwhile.
Opened = TypeVar("Opened")
State = list[tuple[int, ...] | None]


class ReplacedError(DataError):
    """Others took a folder's place each time that it was opened."""


def of_one_folder(folder: Path, names: Sequence[str], what: str, opened: Callable[[], Opened]) -> Opened:
    """What `opened` makes of a folder, of one and the same: another may take its place while it is read.

    What was read by then is of the old one, whose files may be gone or, where both have the same shape, look well
    beside those of the new one.

    Args:
        folder: Where it stands.
        names: Files or folders in it, of which each folder that takes its place has others.
        what: It is, for the message, such as "a linker's folder".
        opened: Reads it.

    Raises:
        ReplacedError: Another took its place each time.
        Exception: What `opened` raises of a folder that stayed.
    """
    for _ in range(OPENINGS):
        before = state_of(folder, names)
        try:
            found = opened()
        except ReplacedError:
            raise
        except Exception:
            if state_of(folder, names) == before:
                raise
            continue
        if state_of(folder, names) == before:
            return found
    raise ReplacedError(
        f"{what} at {folder} that stays while it is opened",
        f"another one in its place, {OPENINGS} times",
        "Open it again once who writes it has ended.",
    )


def state_of(folder: Path, names: Sequence[str]) -> State:
    """Tells the folder that has a name now from others that had it, or will."""
    return [_state(folder / name) for name in names]


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
