"""Files that are either there and whole, or not there, and their names."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from dim.core.error_numbers import number_of
from dim.errors import DataError, DimError, StorageError

#: The demo worlds that the configs and the README name, and the sizes that their figures were found with.
_DEMO_SIZES = {"world": 2000, "small": 720}
#: In the names of the hidden folders in which something is on its way to its own name.
WORKPLACE = ".dim-new-"
_MANY = 100  #: Files in a folder that is synced.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MOUNTED = {errno.EBUSY, errno.EXDEV}
_NOT_FOR_FOLDERS = {errno.EINVAL, errno.ENOTSUP}  # of fsync, on some network disks


@contextmanager
def explain_write_errors(path: Path, remedy: str = "") -> Iterator[None]:
    """Turns a full disk or a missing permission at `path` into a `StorageError` that names the remedy.

    Args:
        path: What is being written, for the message.
        remedy: What to do once there is space; the default is to run the command again.
    """
    try:
        yield
    except DimError:
        raise
    except Exception as error:  # libraries have classes of their own for it
        if (explained := write_error(number_of(error), path, remedy)) is None:
            raise
        raise explained from error


def write_error(number: int | None, path: Path | None, remedy: str = "") -> StorageError | None:
    """What an error number of the system says of writing `path`; None where the disk is not to blame.

    Args:
        number: As of `errno`.
        path: What is being written, for the message; None: nobody knows.
        remedy: As of `explain_write_errors`.
    """
    what = path or "a file of this command"
    if number in _FULL:
        free = "" if path is None else f" ({shutil.disk_usage(_existing_parent(path)).free / 2**20:.0f} MiB free)"
        return StorageError(
            f"space to write {what}",
            f"a full disk{free}",
            remedy or "Free some space, or choose another folder, and run the same command again.",
        )
    if number == errno.EFBIG:
        return StorageError(
            f"room to write {what} whole",
            f"a limit of its size ({os.strerror(errno.EFBIG)})",
            "Choose a disk that takes them, or raise the limit (ulimit -f), and run the same command again.",
        )
    if number in _DENIED:
        return StorageError(
            f"permission to write {what}", os.strerror(number or 0), "Change its permissions, or choose another folder."
        )
    if number in _MOUNTED:
        return StorageError(f"a folder that can be replaced at {what}", "a mounted disk", "Name a folder on that disk.")
    return None


def _existing_parent(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what stands there at the end takes the name `path`.

    A file replaces the old file. A folder (make it yourself at the temporary path) replaces the old folder, in one
    step where the file system can exchange two names (Linux); elsewhere there is a moment with neither.
    On an error the temporary path is removed and the old content stays; after a kill, or a power cut, the next call
    for whatever in that folder removes what was left. A link to a folder is followed. One to a file is replaced, not
    what it leads to: in a stranger's folder that may be any file of yours.
    """
    path = path.resolve() if path.is_symlink() and path.is_dir() else path
    with explain_write_errors(path):
        make_folder(path.parent)
        with _workplace(path) as workplace:
            temporary = workplace / path.name
            yield temporary
            if temporary.is_dir() and path.exists():
                sync(temporary)
                if _exchange(temporary, path):
                    sync_names(path.parent)  # before the old folder goes
                    return
                path.replace(workplace / f"{path.name}.old")
            if temporary.is_dir() and path.is_symlink():
                path.unlink()  # a folder takes no link's name
            put_in_place(temporary, path)


def put_in_place(new: Path, path: Path) -> None:
    """Gives what stands at `new` the name `path`: from then on it stays there, whole, whatever happens.

    A kill or a power cut before that leaves what stood at `path` (an old folder has to be moved away before).
    """
    sync(new)
    new.replace(path)
    sync_names(path.parent)


def sync(path: Path) -> None:
    """Has a file, or a folder and all in it, written to the disk itself; costs what the disk takes to write it.

    Of many files the whole file system is written (Linux): one by one costs a disk's answer each, fifty times as long.
    """
    if not path.is_dir():
        _sync(path, os.O_RDONLY)
        return
    files = [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    if len(files) >= _MANY and _sync_all(path):
        return
    for file in files:
        _sync(file, os.O_RDONLY)
    for folder in (path, *(each for each in path.rglob("*") if each.is_dir() and not each.is_symlink())):
        sync_names(folder)


def _sync_all(folder: Path) -> bool:
    """Writes the file system that a folder is on. Returns whether that was possible."""
    write = getattr(ctypes.CDLL(None), "syncfs", None)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return write is not None and write(descriptor) == 0
    finally:
        os.close(descriptor)


def sync_names(folder: Path) -> None:
    """Has the names in a folder written to the disk itself: those that came, and that some went."""
    try:
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise


@contextmanager
def growing(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Yields what adds lines to a file, and returns when they are on the disk itself: no kill or power cut loses them.

    A line that was torn before gets its end, so that it swallows no other; whoever reads the file leaves it out.
    """
    with path.open("ab+", buffering=0) as file:
        sync_names(path.parent)

        def add(lines: bytes) -> None:
            write_all(file.fileno(), lines)
            os.fsync(file.fileno())

        if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
            add(b"\n")
        yield add


def write_all(descriptor: int, data: bytes, offset: int | None = None) -> None:
    """Writes all of it, at the end or at an offset: one write may take less, near a full disk or past 2 GiB."""
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view) if offset is None else os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset = None if offset is None else offset + written


def make_folder(folder: Path) -> None:
    """Makes a folder, with its parents, that a power cut does not take away again."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_names(each.parent)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes left in a folder of their `atomic_path`s."""
    for left in folder.glob(f".*{WORKPLACE}*"):
        with suppress(OSError), _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, locked until it goes: by their free locks those of killed processes are known."""
    remove_leftovers(path.parent)
    with ExitStack() as held:
        is_mine = False
        while not is_mine:
            place = path.parent / f".{path.name}{WORKPLACE}{secrets.token_hex(8)}"
            held.callback(shutil.rmtree, place, ignore_errors=True)  # before it is there: Ctrl-C comes at any moment
            place.mkdir(mode=0o700)
            with suppress(FileNotFoundError):  # it was taken for a killed one's before it was locked
                held.enter_context(_locked(place, fcntl.LOCK_EX))
                is_mine = place.exists()
        held.callback(shutil.rmtree, place, ignore_errors=True)  # while it is locked
        yield place


@contextmanager
def _locked(place: Path, how: int) -> Iterator[None]:
    descriptor = os.open(place / place.name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Gives each of two paths the other's name, in one step. Returns whether that was possible."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def regular(path: Path) -> Path:
    """The path, where a file stands or nothing does.

    Raises:
        OSError: It is a pipe or a device, links followed: of those that a stranger put there some are read for ever.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(f"{path.name} is a pipe or a device, and no file")
    return path


def cache_folder() -> Path:
    """Where what can be made again is kept: `~/.cache/dim`, or below `XDG_CACHE_HOME`."""
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "dim"


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented UTF-8 JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json_text(value), encoding="utf-8")


def json_text(value: Any) -> str:
    """`value` as `write_json` writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def content_hash(*parts: bytes | str) -> str:
    """A short hash (16 hex digits of SHA-256) of the parts and their boundaries.

    Example:
        >>> content_hash("ab", "c") == content_hash("a", "bc")
        False
    """
    return hash_parts(parts)


def hash_parts(parts: Iterable[bytes | str]) -> str:
    """`content_hash` of parts that need not be in memory together."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:16]


def file_name_of(model: str) -> str:
    """The last part of a model's name or path, with `-` for what a file should not be called.

    Example:
        >>> file_name_of("some-lab/Model 8B/")
        'Model-8B'
    """
    return re.sub(r"[^\w.-]+", "-", model.rstrip("/").rpartition("/")[2])


def how_to_get(path: Path, otherwise: str) -> str:
    """What to do where nothing stands at `path`: how the demo is made, if it is one of the demo's folders.

    Example:
        >>> how_to_get(Path("demo/world"), "Check the path.")
        'Make the demo world: dim demo-world demo/world --num_entities 2000'
        >>> how_to_get(Path("data/wikimel"), "Check the path.")
        'Check the path.'
    """
    if path.parent.name == "demo" and not path.suffix:
        return f"Make the demo world: dim demo-world {path} --num_entities {_DEMO_SIZES.get(path.name, 2000)}"
    return otherwise


def check_variant(name: str) -> str:
    """The name of an entity text, if a file can bear it. Raises DataError otherwise."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise DataError("a text variant of letters, digits, '.', '-' and '_'", f"'{name}'", "Choose another name.")
    return name
