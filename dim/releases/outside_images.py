"""Image paths that lead out of the folder of their tables: a table must not choose what is read, its user may."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import Path, PurePosixPath

import pandas as pd

from dim.images.regions import split_region
from dim.releases.image_folder import ImageFolder, is_image

NUM_LOOKED_AT = 3  #: Of the files, to say where all of them are.


def name_from(images: Path, root: Path, tables: Collection[pd.DataFrame]) -> None:
    """Has paths that lead into a folder which the user named, from that of the tables or absolute, count from there.

    Args:
        images: The folder.
        root: Of the tables.
        tables: Their column `images` is put right in place.
    """
    inside, beside = ImageFolder(images), ImageFolder(root)

    def named(path: str) -> str:
        file, _ = split_region(path)
        leads_out = _leads_out(file)
        if "\0" in path or not (leads_out or (inside.look_up(file) != "here" and beside.look_up(file) == "here")):
            return path
        whole = _whole(file, root)
        for folder in (images.absolute(), images.resolve()):
            if whole.is_relative_to(folder):
                return str(whole.relative_to(folder)) + path[len(file) :]
        return path

    for table in tables:
        table["images"] = [[named(path) for path in paths] for paths in table["images"]]


def folder_that_holds(outside: Iterable[str], root: Path, has_own: bool) -> Path | None:
    """The folder below which the images stand that paths lead to, out of that of the tables.

    Args:
        outside: The paths.
        root: The folder of the tables.
        has_own: Whether images stand there, too: then the folder holds these as well.

    Returns:
        None where they are no images, or not there.
    """
    files = [_whole(split_region(path)[0], root) for path in outside if "\0" not in path and _leads_out(path)]
    if not files or not all(is_image(file.name) and file.is_file() for file in islice(files, NUM_LOOKED_AT)):
        return None
    common = Path(os.path.commonpath([*{file.parent for file in files}, *([root.absolute()] if has_own else [])]))
    return None if common == Path(common.anchor) else common


def _leads_out(path: str) -> bool:
    pure = PurePosixPath(path)
    return pure.is_absolute() or ".." in pure.parts


def _whole(path: str, root: Path) -> Path:
    return Path(os.path.normpath(root.absolute() / path))
