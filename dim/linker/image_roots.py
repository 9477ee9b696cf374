"""Where the images of a KB may stand: whoever opens it says so, never the KB."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LOG = logging.getLogger("dim")


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
        base, begins = str(self.base), self._begins
        for image in images:
            path = os.path.normpath(f"{base}/{image}" if not image.startswith("/") else image)
            if path.startswith(begins):
                inside.append(path)
            else:
                outside.append(image)
        return tuple(inside), tuple(outside)

    def root_of(self, image: str) -> Path:
        """The folder that an image of `split` may not leave by its links."""
        folder = next(each for each in self._folders if image.startswith(_begin(each)))
        return _storage(folder) if folder == self.base else folder

    @property
    def _folders(self) -> tuple[Path, ...]:
        return (self.base, *self.others)

    @property
    def _begins(self) -> tuple[str, ...]:
        return tuple(map(_begin, self._folders))


def _begin(folder: Path) -> str:
    return f"{str(folder).rstrip('/')}/"


def _storage(folder: Path) -> Path:
    """The folder itself, or that of its repository in the hub's cache, where a commit is made of links to blobs."""
    is_commit = folder.parent.name == "snapshots" and (folder.parent.parent / "blobs").is_dir()
    return folder.parent.parent if is_commit else folder


def warn_of_images_elsewhere(count: int, folder: Path) -> None:
    """Says that entities name images which are not opened."""
    if count:
        LOG.warning(
            "%s entities name images outside of %s, which are neither shown nor copied; "
            "say where they stand: --image_root FOLDER, or image_root= in Python",
            f"{count:,}",
            folder,
        )


def absolute(folder: str | Path) -> Path:
    """The folder from the root of the file system, without `..`."""
    return Path(os.path.normpath(Path(folder).absolute()))
