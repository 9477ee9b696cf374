"""The folders of images in a release, and where paths in one lead; no image is opened."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal

from dim.core.text_form import one_form
from dim.data.files import explain_read_errors, list_names
from dim.images.found_files import path_on_disk
from dim.images.regions import split_region

#: The names under which releases pack their images, tried in this order.
FOLDER_NAMES = ("images", "image", "mention_images", "mention_image", "wikinewsImgs", "imgs", "img")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_MAX_SIBLINGS = 20  #: More folders beside one another are folders of single entities (`Q42/1.jpg`).
_HEAD = 200  #: Entries of a folder that are looked at to tell whether it holds images.


def find_image_folder(root: Path) -> Path | None:
    """The image folder inside a release's folder by its usual name, or None."""
    names = list_names(root)
    return next((root / name for name in FOLDER_NAMES if name in names and (root / name).is_dir()), None)


def image_folders(root: Path) -> list[Path]:
    """The folders of images in `root` and in its folders, sorted; those called by entity are not among them."""
    found = []
    for folder in _folders(root):
        inside = _folders(folder)
        found += [one for one in (folder, *inside) if _holds_images(one)]
    return found


def count_images(folder: Path) -> int:
    """How many files in a folder have the ending of an image."""
    with explain_read_errors(folder), os.scandir(folder) as entries:
        return sum(is_image(entry.name) for entry in entries)


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            found = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    return [root / name for name in found] if len(found) <= _MAX_SIBLINGS else []


def _holds_images(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(is_image(entry.name) for entry in islice(entries, _HEAD))
    except OSError:
        return False


def is_image(name: str) -> bool:
    """Whether a file name has the ending of an image."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


class ImageFolder:
    """Tells where paths lead. Each subfolder is listed once, so a million paths cost no million system calls.

    Args:
        root: The folder that paths are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._listings: dict[str, dict[str, bool] | None] = {}

    def look_up(self, path: str) -> Literal["here", "missing", "outside"]:
        """Whether a file stands at `path`, nothing does, or the path leads out of the folder.

        Absolute paths, `..` and links that end elsewhere lead out: a release must not choose what is read. A region
        is where its file is.

        Raises:
            DataError: A subfolder cannot be read.
        """
        pure = PurePosixPath(split_region(path)[0])
        if pure.is_absolute() or ".." in pure.parts or "\0" in path:
            return "outside"
        listing = self._listing(str(pure.parent))
        if listing is None:
            return "outside"
        name = pure.name if pure.name in listing else one_form(pure.name)
        if name not in listing:
            return "missing"
        if listing[name]:
            target = path_on_disk(self._root / pure).resolve()
            if not target.is_relative_to(self._root):
                return "outside"
            return "here" if target.is_file() else "missing"
        return "here"

    def names(self, folder: str) -> list[str]:
        """The sorted names of the files in a subfolder; none where it is not there, or lies outside."""
        pure = PurePosixPath(folder)
        if pure.is_absolute() or ".." in pure.parts or "\0" in folder:
            return []
        return sorted(name for name in self._listing(folder) or {} if self.look_up(f"{folder}/{name}") == "here")

    def _listing(self, parent: str) -> dict[str, bool] | None:
        if parent not in self._listings:
            self._listings[parent] = self._list(path_on_disk(self._root / parent))
        return self._listings[parent]

    def _list(self, folder: Path) -> dict[str, bool] | None:
        """The files and links of a folder (name → is a link); None where the folder lies outside."""
        if not folder.resolve().is_relative_to(self._root):
            return None
        with explain_read_errors(folder):
            try:
                with os.scandir(folder) as entries:
                    files = {entry.name: entry.is_symlink() for entry in entries if not entry.is_dir()}
                # Names on disk may be decomposed; those of the tables are not.
                return {one_form(name): is_link for name, is_link in files.items()} | files
            except (FileNotFoundError, NotADirectoryError):
                return {}
