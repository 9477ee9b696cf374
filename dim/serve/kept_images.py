"""The pictures of a linker's folder, for as long as it is served: also when another folder takes its place."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from dim.linker.entity_table import IMAGES
from dim.linker.image_roots import ImageRoots

PREFIX = ".dim-served-"


class KeptImages:
    """Further names (hard links) of the pictures' files, in a hidden folder beside the linker's, which goes with this.

    They take no room on the disk, and stay what they are when the folder is replaced, moved or deleted. Where the file
    system has no such links, or nothing may be written there, the pictures are read where they stand.

    Args:
        folder: Of the linker.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._opened = os.open(self.folder, os.O_RDONLY)  # so that no other folder gets its number
        weakref.finalize(self, os.close, self._opened)
        self.place = _linked(self.folder.resolve()) if (self.folder / IMAGES).is_dir() else None
        if self.place is not None:
            lock = os.open(self.place, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_SH)
            weakref.finalize(self, _remove, self.place, lock)

    def is_of_this_folder(self) -> bool:
        """Whether no other folder has taken the place of the one that the pictures are of."""
        try:
            return os.path.samestat(os.fstat(self._opened), self.folder.stat())
        except OSError:
            return False

    def place_of(self, image: str, root: Path) -> tuple[str, Path]:
        """Where an image of the linker stands, and the folder that it may not leave.

        Args:
            image: Where it stood when the linker was opened.
            root: What it could not leave there.
        """
        if self.place is None or not Path(image).is_relative_to(self.folder):
            return image, root
        return str(self.place / Path(image).relative_to(self.folder)), self.place


def _linked(folder: Path) -> Path | None:
    _remove_left(folder)
    try:
        place = Path(tempfile.mkdtemp(prefix=f".{folder.name}{PREFIX}", dir=folder.parent))
    except OSError:
        return None
    roots = ImageRoots(folder)

    def link(source: str, target: str) -> None:
        file = Path(source).resolve()
        if file.is_relative_to(roots.root_of(source)):  # what leads out of the folder is shown by no name
            os.link(file, target)

    try:
        shutil.copytree(folder / IMAGES, place / IMAGES, copy_function=link)
        return place
    except (OSError, shutil.Error):
        shutil.rmtree(place, ignore_errors=True)
        return None


def _remove(place: Path, lock: int) -> None:
    shutil.rmtree(place, ignore_errors=True)
    os.close(lock)


def _remove_left(folder: Path) -> None:
    """Removes what killed servers left: they hold it no longer."""
    for left in folder.parent.glob(f"{glob.escape(f'.{folder.name}{PREFIX}')}*"):
        with suppress(OSError):
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)
