"""Where the images of a KB may stand: whoever opens it says so, never the KB."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class ImageRoots:
    """The folders that the images of a KB stand in, by their paths and by what their links lead to.

    Attributes:
        base: What a relative path begins at, such as the linker's folder; the first of the folders.
        others: Further ones.
    """

    base: Path
    others: tuple[Path, ...] = ()

    def split(self, images: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The images whose paths stay inside, from the root of the file system; and the others, as they are.

        Example:
            >>> ImageRoots(Path("/kb")).split(["images/1.png", "../secret.txt", "/etc/passwd"])
            (('/kb/images/1.png',), ('../secret.txt', '/etc/passwd'))
        """
        inside, outside = [], []
        for image in images:
            path = self._path(image)
            if path.startswith(tuple(self._begins)):
                inside.append(path)
            else:
                outside.append(image)
        return tuple(inside), tuple(outside)

    def root_of(self, image: str) -> Path:
        """The folder that an image may not leave by its links."""
        folder = next((folder for begin, folder in self._begins.items() if image.startswith(begin)), self.base)
        return _storage(folder) if folder == self.base else folder

    def _path(self, image: str) -> str:
        path = image if image.startswith("/") else f"{self._base}/{image}"
        if ".." not in image.split("/"):
            return path
        try:
            return os.path.realpath(path)
        except ValueError:  # a null byte
            return ""

    @cached_property
    def _base(self) -> Path:
        return self.base.absolute()

    @cached_property
    def _begins(self) -> dict[str, Path]:
        """How a path inside begins → the folder that it is inside of."""
        folders = (self.base, *self.others)
        return {f"{str(form).rstrip('/')}/": each for each in folders for form in (each.absolute(), each.resolve())}


def _storage(folder: Path) -> Path:
    """The folder itself, or that of its repository in the hub's cache, where a commit is made of links to blobs."""
    is_commit = folder.parent.name == "snapshots" and (folder.parent.parent / "blobs").is_dir()
    return folder.parent.parent if is_commit else folder
