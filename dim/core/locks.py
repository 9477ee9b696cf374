"""One writer a folder, whichever process it is in."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from dim.core.files import explain_write_errors, make_folder
from dim.core.folder_files import peek_json
from dim.display.lines import warn
from dim.errors import InUseError, StorageError

LOCK_SUFFIX = ".dim-lock"
_held: dict[Path, tuple[int, int]] = {}  # lock file → the thread that holds it, how often


@contextmanager
def folder_lock(folder: str | Path, purpose: str, *, wait: bool = False, whole: bool = False) -> Iterator[None]:
    """Holds the lock of a folder (or file) that is written; a killed process holds it no longer.

    The lock is a file beside the folder, `.<name>.dim-lock`, so that it stays the same while the folder is replaced
    and the folder holds nothing strange; it says who holds it, and goes when the lock does. Where nothing can be
    written beside the folder, nobody can replace it either, and the file stands in it. Readers take no lock.

    In one thread the lock may be taken again while it is held, such as by a step of a command that holds it.
    `dim fit`, and what else writes a run, takes it around all its work, in the first of its processes alone:

        with folder_lock(run, "dim fit") if process_of_run() == 0 else nullcontext():

    Args:
        folder: What is written; it need not be there.
        purpose: Who writes it, such as "dim fit", for whoever comes second.
        wait: Whether to wait for another process, after one line that says so; else it is refused at once.
        whole: Whether the folder is replaced as a whole: then nothing in it may be locked either.

    Raises:
        InUseError: Another process holds it.
        StorageError: No lock can be made there.
    """
    path = lock_file(Path(folder))
    me = threading.get_ident()
    if _held.get(path, (None, 0))[0] == me:
        _held[path] = me, _held[path][1] + 1
        try:
            yield
        finally:
            _held[path] = me, _held[path][1] - 1
        return
    with explain_write_errors(path):
        make_folder(path.parent)
    lock = FileLock(path)
    _acquire(lock, path, Path(folder), wait)
    try:
        _held[path] = me, 1
        path.write_text(json.dumps(_myself(purpose)), encoding="utf-8")
        if whole:
            _check_parts(Path(folder))
        yield
    finally:
        _held.pop(path, None)
        # While it is held: whoever waits for this very file sees that it is gone, and makes a new one.
        with suppress(OSError):
            path.unlink()
        lock.release()


def lock_file(folder: Path) -> Path:
    """Where the lock of a folder stands."""
    folder = folder.resolve()
    effective = os.access in os.supports_effective_ids
    if folder.is_dir() and not os.access(folder.parent, os.W_OK | os.X_OK, effective_ids=effective):
        return folder / LOCK_SUFFIX
    return folder.with_name(f".{folder.name}{LOCK_SUFFIX}")


def _acquire(lock: FileLock, path: Path, folder: Path, wait: bool) -> None:
    try:
        with explain_write_errors(path):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if not wait:
                    raise
                warn(f"waiting: {folder} is being written by {_holder(path)}")
                lock.acquire(poll_interval=0.1)
    except Timeout as error:
        raise InUseError(
            f"nobody else writing {folder}", _holder(path), "Wait until it has ended, or choose another folder."
        ) from error
    except (OSError, NotImplementedError) as error:  # such as ENOLCK on a network disk
        raise StorageError(f"a lock at {path}", str(error), "Choose a folder on a disk that has file locks.") from error


def _check_parts(folder: Path) -> None:
    """Raises InUseError where something inside is locked."""
    for path in folder.rglob(f".*{LOCK_SUFFIX}"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise InUseError(
                f"nobody else writing in {folder}", _holder(path), "Wait until it has ended, or choose another folder."
            ) from error
        lock.release()


def _myself(purpose: str) -> dict[str, str | int]:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return {"purpose": purpose, "pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(path: Path) -> str:
    try:
        found = peek_json(path, dict)
        return f"{found['purpose']} (process {found['pid']} on {found['host']}, since {found['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # which has the lock and has not yet said so
