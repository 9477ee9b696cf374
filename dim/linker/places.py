"""What stands in a folder that is named as a run or as a linker, so that the wrong one is told by what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dim.errors import ConfigError, DataError
from dim.linker.entity_table import FILE, OLDER_FILE
from dim.linker.folder import MANIFEST
from dim.linker.given import check_path

RUN = "config.yaml"
OPENINGS = 5  #: Of a folder that others take the place of meanwhile.
Opened = TypeVar("Opened")


def run_folder(run: Any) -> Path:
    """The path of a run.

    Raises:
        DataError: It is no path.
        ConfigError: A linker stands there, or a part of a run.
    """
    folder = check_path(run, "a run's folder")
    if not (folder / RUN).exists() and (above := [each for each in folder.parents[:2] if (each / RUN).exists()]):
        raise ConfigError(f"a run's folder at {folder}", "a part of a run", f"Name {above[0]}.")
    if (folder / MANIFEST).exists():
        raise ConfigError(
            f"a run of dim fit at {folder}", "a linker's folder", "Use it as it is: dim link, Linker.from_pretrained."
        )
    return folder


def check_name(name: Any) -> Path:
    """The path that a linker's folder, or its id on the hub, would be. Raises DataError where it is none, or a file."""
    path = check_path(name, "a linker's folder, or its id on the hub")
    if path.is_file():
        raise DataError(f"a linker's folder at {path}", "a file", "Name the folder that holds it; unpack an archive.")
    return path


def check_linker(folder: Path) -> None:
    """Raises DataError where a folder holds something else than a linker, whole or damaged."""
    is_dataset = (folder / "dataset.json").exists()
    has_entities = any((folder / name).exists() for name in (FILE, OLDER_FILE))
    if (folder / MANIFEST).exists() or (has_entities and not is_dataset):
        return
    found = f"no file {MANIFEST}"
    remedy = "Write one (dim export RUN FOLDER, Linker.save), or get it again from where it came."
    if (folder / RUN).exists():
        found, remedy = "a run of dim fit", "Use Linker.from_checkpoint, or write its linker: dim export RUN FOLDER."
    elif is_dataset:
        found, remedy = "a dataset", "Name the run that was fit on it, or the folder that dim export made of the run."
    elif (folder.parent / MANIFEST).exists():
        found, remedy = "a part of one", f"Name {folder.parent}."
    raise DataError(f"a linker's folder at {folder}", found, remedy)


def of_one_folder(folder: Path, opened: Callable[[], Opened]) -> Opened:
    """What `opened` makes of a linker's folder, of one and the same: another may take its place while it is read.

    `dim add`, `dim export` and a server that entities come to put a new folder in its place. What was read by then is
    of the old one, whose files may be gone or, where both have as many entities, of the same shape.

    Raises:
        DataError: Another took its place each time.
        Exception: What `opened` raises of a folder that stayed.
    """
    for _ in range(OPENINGS):
        before = _which(folder)
        try:
            found = opened()
        except Exception:
            if _which(folder) == before:
                raise
            continue
        if _which(folder) == before:
            return found
    raise DataError(
        f"a linker's folder at {folder} that stays while it is opened",
        f"another one in its place, {OPENINGS} times",
        "Open it again once who writes it has ended.",
    )


def _which(folder: Path) -> tuple[int, ...] | None:
    """Tells the folder that has a name now from others that had it, or will."""
    try:
        found = (folder / MANIFEST).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
