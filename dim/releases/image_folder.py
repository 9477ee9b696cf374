"""Image paths as a release names them, looked up in the image folder without opening an image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from dim.core.text_form import one_form
from dim.data.files import explain_read_errors, list_names
from dim.data.missing_images import NO_FOLDER, NamedImages
from dim.data.skipped import Skipped
from dim.images.found_files import path_on_disk
from dim.images.regions import split_region
from dim.releases.base import Release

#: The names under which releases pack their images, tried in this order.
FOLDER_NAMES = ("images", "image", "mention_images", "mention_image", "wikinewsImgs", "imgs", "img")
REASONS = {"missing": "no such file", "outside": "path leaves the image folder"}


def find_image_folder(root: Path) -> Path | None:
    """The image folder inside a release's folder, or None."""
    names = list_names(root)
    return next((root / name for name in FOLDER_NAMES if name in names and (root / name).is_dir()), None)


@dataclass(frozen=True)
class LookedUp:
    """What `look_up_images` found.

    Attributes:
        problems: Paths that lead to no file, by reason.
        without: The number of mentions that have no image file.
        dropped: `mention` and `entity` → reason → how many named images and lost all their paths.
        named: The mentions and the entities that name images, and those that have none.
    """

    problems: Skipped
    without: int
    dropped: Mapping[str, Mapping[str, int]]
    named: Sequence[NamedImages] = ()


def look_up_images(release: Release, images: Path | None) -> LookedUp:
    """Looks up every image path of a release, and drops in place those that must not be read.

    Paths without a file stay, because the file may come later and a missing image is a state. Without an image
    folder all paths go.

    Args:
        release: Its `images` columns, `image_root` and `notes` are put right.
        images: The image folder that the user named, if any.
    """
    problems = Skipped()
    owners = {"mention": release.mentions, "entity": release.entities}
    owners = {owner: table for owner, table in owners.items() if "images" in table}
    if images is not None:
        list_names(images)
        release.image_root = images
    if release.image_root is None:
        naming = {owner: int(table["images"].map(bool).sum()) for owner, table in owners.items()}
        dropped = {owner: {NO_FOLDER: count} for owner, count in naming.items() if count}
        if dropped:
            release.notes.append(
                f"rows name images, but there is no folder {', '.join(FOLDER_NAMES)}: text only; --images names another"
            )
        for table in owners.values():
            table["images"] = [[] for _ in range(len(table))]
        return LookedUp(problems, len(release.mentions), dropped)
    folder = ImageFolder(release.image_root)
    named, dropped = [], {}
    without = len(release.mentions)
    for owner, table in owners.items():
        states = [[folder.look_up(path) for path in paths] for paths in table["images"]]
        for paths, found in zip(table["images"], states, strict=True):
            for path, state in zip(paths, found, strict=True):
                if state != "here":
                    problems.add(REASONS[state], path)
        absent = [
            (paths[0], found[0])
            for paths, found in zip(table["images"], states, strict=True)
            if paths and "here" not in found
        ]
        reasons = Counter(REASONS[state] for _, state in absent)
        named.append(NamedImages(owner, sum(map(bool, states)), reasons, [path for path, _ in absent]))
        table["images"] = [
            [path for path, state in zip(paths, found, strict=True) if state != "outside"]
            for paths, found in zip(table["images"], states, strict=True)
        ]
        if lost := sum(map(bool, states)) - int(table["images"].map(bool).sum()):
            dropped[owner] = {REASONS["outside"]: lost}
        if table is release.mentions:
            without = sum("here" not in found for found in states)
    return LookedUp(problems, without, dropped, named)


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
        parent = str(pure.parent)
        if parent not in self._listings:
            self._listings[parent] = self._list(path_on_disk(self._root / parent))
        listing = self._listings[parent]
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
