"""The one rule for whoever writes a folder: nothing that a user has is replaced without being asked for.

    what stands at the target                                     may be written
    nothing, or an empty folder                                   yes
    what the same kind of command wrote, and nothing else         with `overwrite` (or where losing it costs nothing:
                                                                  the caller says so by the same argument)
    the same with a file that it did not write                    no
    anything else                                                 no
    a source, or a folder that holds a source or lies in one      no

A run (`stands_beside`) is written file by file: what else is in its folder stays, so only a file of the run's own
names that no run wrote, or a folder of another kind, is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from dim.core.excerpts import few_of
from dim.core.files import WORKPLACE, atomic_path
from dim.core.locks import LOCK_SUFFIX, folder_lock
from dim.errors import ConfigError

NUM_NAMED = 3
#: What systems make by themselves, or a killed process leaves, and nobody would miss.
UNASKED = (".DS_Store", "Thumbs.db", "desktop.ini", f"*{LOCK_SUFFIX}", f".*{WORKPLACE}*")
#: What a file of that name says of the folder that it stands in.
MARKERS = {
    "dataset.json": "a dataset",
    "linker.json": "a linker",
    "demo_lm.json": "a language model of dim demo-lm",
    "index.json": "an index",
    "metrics.json": "a run",
}


@dataclass(frozen=True)
class Kind:
    """A folder that a command writes.

    Attributes:
        name: What it is, such as "a linker".
        stands_at: Whether one of this kind stands at a path.
        files: The names of all that belongs to the one at a path, relative to it, as patterns: `*` also crosses `/`.
        stands_beside: Whether it is written file by file and what else is in the folder stays.
        left_in: The names of what a killed command left at a path that is nothing yet: it counts as nothing.
    """

    name: str
    stands_at: Callable[[Path], bool]
    files: Callable[[Path], Iterable[str]]
    stands_beside: bool = False
    left_in: Callable[[Path], Iterable[str]] = lambda _: ()


#: What no command takes for its own again: it wants a new or empty folder.
FRESH = Kind("new files", lambda _: False, lambda _: ())


def check_target(
    target: str | Path, kind: Kind, *, sources: Iterable[str | Path] = (), overwrite: bool = False
) -> None:
    """Makes sure that a folder of this kind may be written at `target`. Writes nothing.

    Args:
        target: Where it shall stand.
        kind: What shall stand there.
        sources: What it is made from. No target is one of them, lies in one or holds one, by whatever name.
        overwrite: Whether one that was written before may be replaced.

    Raises:
        ConfigError: It may not; the message names the first files that are in the way.
    """
    target = Path(target)
    wanted = f"a new or empty folder for {kind.name} at {target}"
    place = target.resolve()
    for source in map(Path, sources):
        if relation := _relation(place, source.resolve()):
            raise ConfigError(wanted, f"{relation} {source}, which it is made from", "Choose another folder.")
    if above := next((path for path in place.parents if path.exists() and not path.is_dir()), None):
        raise ConfigError(wanted, f"a file {above}", "Choose another folder.")
    if not place.exists():
        return
    if not place.is_dir():
        raise ConfigError(wanted, "a file", "Choose another folder.")
    if kind.stands_at(place):
        if not kind.stands_beside and (others := _strangers(place, list(kind.files(place)))):
            raise ConfigError(
                wanted,
                f"{kind.name} with files that it did not write: {few_of(others, NUM_NAMED)}",
                "Move them away, or choose another folder.",
            )
        if not overwrite:
            raise ConfigError(
                wanted,
                f"{kind.name}, written before",
                "Choose another folder, or replace it with --overwrite true (overwrite=True in Python).",
            )
        return
    left = set(kind.left_in(place))
    found = [path.name for path in sorted(place.iterdir()) if not _is_unasked(path.name) and path.name not in left]
    if kind.stands_beside:
        own = list(kind.files(place))
        found = [name for name in found if name in MARKERS or _belongs(name, own) or _belongs(f"{name}/", own)]
    if found:
        what = next((what for name, what in MARKERS.items() if name in found), "other files")
        raise ConfigError(
            wanted, f"{what}: {few_of(found, NUM_NAMED)}", "Choose another folder; nothing was changed here."
        )


def check_file(target: str | Path, what: str, is_ours: Callable[[Path], bool]) -> None:
    """Makes sure that a file may be written at `target`: it is new, or an earlier one of the same command.

    Args:
        target: Where it shall stand.
        what: What it is, such as "a report".
        is_ours: Whether the file at a path is of this command.

    Raises:
        ConfigError: Something else stands there.
    """
    target = Path(target)
    if target.is_dir() or (target.exists() and not is_ours(target)):
        found = "a folder" if target.is_dir() else "another file"
        raise ConfigError(f"a new file, or {what} written before, at {target}", found, "Choose another name.")


def taken(output: Path) -> ConfigError:
    """The error for an `--output` that is there: answers replace nothing."""
    return ConfigError(f"a new file {output}", "one that is there", "Name another --output, or remove it.")


@contextmanager
def claimed_folder(
    target: str | Path, kind: Kind, purpose: str, *, sources: Iterable[str | Path] = (), overwrite: bool = False
) -> Iterator[Callable[[], None]]:
    """Checks `target` and holds its lock, for work that replaces it by `atomic_path` at its end.

    Args:
        target: As `check_target` takes it, as the rest.
        kind: What is written.
        purpose: Of the lock, such as "dim export".
        sources: What it is made from.
        overwrite: Whether one that was written before may be replaced.

    Yields:
        What checks `target` again: to be called right before it is replaced, as a user's file may have come.

    Raises:
        ConfigError: `target` may not be replaced, or another process writes it.
        StorageError: It may not be written.
    """
    target, sources = Path(target), list(sources)
    check = partial(check_target, target, kind, sources=sources, overwrite=overwrite)
    check()
    with folder_lock(target, purpose, whole=True):
        check()  # another process may have written it until now
        yield check


@contextmanager
def output_folder(
    target: str | Path, kind: Kind, purpose: str, *, sources: Iterable[str | Path] = (), overwrite: bool = False
) -> Iterator[Path]:
    """Yields a new empty folder, which takes the place of `target` at the end, in one step; as `claimed_folder`.

    An error or Ctrl-C leaves what stood there as it was; what a killed process left goes.

    Raises:
        ConfigError: `target` may not be replaced, or another process writes it.
        StorageError: The disk is full, or it may not be written.
    """
    with (
        claimed_folder(target, kind, purpose, sources=sources, overwrite=overwrite) as check,
        atomic_path(Path(target)) as temporary,
    ):
        temporary.mkdir()
        yield temporary
        check()


def files_in(folder: Path) -> Iterator[str]:
    """The relative names of all files under a folder; a link counts as one, whatever it leads to."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        for name in (*files, *(name for name in folders if (here / name).is_symlink())):
            yield (here / name).relative_to(folder).as_posix()


def _strangers(folder: Path, patterns: list[str]) -> list[str]:
    exact = {pattern for pattern in patterns if not set("*?[") & set(pattern)}
    wild = [pattern for pattern in patterns if pattern not in exact]
    names = (name for name in files_in(folder) if name not in exact and not any(map(_is_unasked, name.split("/"))))
    return sorted(name for name in names if not _belongs(name, wild))


def _belongs(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_unasked(name: str) -> bool:
    return _belongs(name, UNASKED)


def _relation(place: Path, source: Path) -> str:
    if place == source:
        return "the folder itself:"
    if place.is_relative_to(source):
        return "a place inside"
    return "a folder that holds" if source.is_relative_to(place) else ""
