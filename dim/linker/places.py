"""What stands in a folder that is named as a run or as a linker, so that the wrong one is told by what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dim.errors import ConfigError, DataError
from dim.inference.places import CONFIG
from dim.linker.entity_table import FILE
from dim.linker.folder import MANIFEST
from dim.linker.given import check_path


def run_folder(run: Any) -> Path:
    """The path of a run.

    Raises:
        DataError: It is no path.
        ConfigError: A linker stands there, or a part of a run.
    """
    folder = check_path(run, "a run's folder")
    if not (folder / CONFIG).exists() and (above := [each for each in folder.parents[:2] if (each / CONFIG).exists()]):
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
    has_entities = (folder / FILE).exists()
    if (folder / MANIFEST).exists() or (has_entities and not is_dataset):
        return
    found = f"no file {MANIFEST}"
    remedy = "Write one (dim export RUN FOLDER, Linker.save), or get it again from where it came."
    if (folder / CONFIG).exists():
        found, remedy = "a run of dim fit", "Use Linker.from_checkpoint, or write its linker: dim export RUN FOLDER."
    elif is_dataset:
        found, remedy = "a dataset", "Name the run that was fit on it, or the folder that dim export made of the run."
    elif (folder.parent / MANIFEST).exists():
        found, remedy = "a part of one", f"Name {folder.parent}."
    raise DataError(f"a linker's folder at {folder}", found, remedy)
