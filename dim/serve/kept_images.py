"""The pictures of a linker's folder, for as long as it is served: also when another folder takes its place."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from dim.images.regions import split_region
from dim.linker.image_roots import ImageRoots

PREFIX = ".dim-served-"


class KeptImages:
    """Further names (hard links) of the pictures' files, in a hidden folder beside the linker's, which goes with this.

    They take no room on the disk, and stay what they are when the folder is replaced, moved or deleted. Where the file
    system has no such links, or nothing may be written there, the pictures are read where they stand.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.place: Path | None = None
        self._opened = os.open(self.folder, os.O_RDONLY)  # so that no other folder gets its number
        weakref.finalize(self, os.close, self._opened)

    def keep(self, images: Iterable[str]) -> None:
        """Keeps the pictures that a linker names, those of its folder."""
        files = {Path(split_region(image)[0]) for image in images}
        inside = [file for file in files if file.is_relative_to(self.folder)]
        if not inside:
            return
        kept = _new_place(self.folder)
        if kept is None:
            return
        place, lock = kept
        if _link_all(inside, self.folder, place):
            self.place = place
            weakref.finalize(self, _remove, place, lock)
        else:
            _remove(place, lock)

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


def _new_place(folder: Path) -> tuple[Path, int] | None:
    """A new folder beside a linker's, and its lock, by which it is known to be in use; None: nothing may be written."""
    folder = folder.resolve()
    _remove_left(folder)
    while True:
        try:
            place = Path(tempfile.mkdtemp(prefix=f".{folder.name}{PREFIX}", dir=folder.parent))
            lock = os.open(place, os.O_RDONLY)
        except FileNotFoundError:  # another server took it for one that was left
            continue
        except OSError:
            return None
        fcntl.flock(lock, fcntl.LOCK_SH)
        if place.exists():
            return place, lock
        os.close(lock)


def _link_all(files: Sequence[Path], folder: Path, place: Path) -> bool:
    """Gives files of a folder further names in another. Returns whether the file system could."""
    roots = ImageRoots(folder)
    for file in files:
        real, target = file.resolve(), place / file.relative_to(folder)
        if not real.is_file() or not real.is_relative_to(roots.root_of(str(file)).resolve()):
            continue  # what is gone, or leads out of the folder, is shown by no name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(real, target)
        except OSError:
            return False
    return True


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
