"""A folder whose disk is known: what of it was synced, and the folder as a power cut leaves it."""

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "shim.c"


def built(folder: Path) -> str:
    """The library that records what is synced; the test is skipped where it cannot be built."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc/self/fd").exists():
        pytest.skip("no C compiler, or no Linux, for a library that records what is synced")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-o", folder / "shim.so", SOURCE], check=True)
    return str(folder / "shim.so")


class Disk:
    """The disk below a folder, all of which counts as synced at first.

    Args:
        root: The folder.
        store: Where what is synced is kept.
    """

    def __init__(self, root: Path, store: Path) -> None:
        self.root, self.store = root, store
        self.store.mkdir()
        self._held: list[int] = []  # so that no other file gets the number of one of these
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        for folder, folders, files in os.walk(root):
            here = Path(folder)
            names = [f"{(here / n).lstat().st_ino} {int(n in folders)} {n}\n" for n in (*folders, *files)]
            self._keep(here).write_text("".join(names))
            for name in files:
                shutil.copyfile(here / name, self._keep(here / name))

    def _keep(self, path: Path) -> Path:
        self._held.append(os.open(path, os.O_RDONLY))
        return self.store / f"{path.stat().st_ino}{'.names' if path.is_dir() else ''}"

    @property
    def num_syncs(self) -> int:
        """How often something was synced."""
        return (self.store / "count").stat().st_size

    def left(self) -> list[Path]:
        """Two copies of the folder as it may be after the power failed now.

        In the first, names that were not synced are lost, and with them all below. In the second all names are as they
        were last, and only content that was not synced is lost: a file is as it was synced last, or empty.
        """
        lost, named = (self.store.with_name(f"{self.store.name}-{name}") for name in ("lost", "named"))
        self._copy(self.root.stat().st_ino, lost)
        self._copy_all(self.root, named)
        for descriptor in self._held:
            os.close(descriptor)
        shutil.rmtree(self.store)
        return [lost, named]

    def _copy(self, number: int, place: Path) -> None:
        place.mkdir()
        names = self.store / f"{number}.names"
        for line in names.read_text().splitlines() if names.exists() else ():
            of, is_folder, name = line.split(" ", 2)
            if name not in (".", ".."):
                if int(is_folder):
                    self._copy(int(of), place / name)
                else:
                    self._copy_file(int(of), place / name)

    def _copy_all(self, folder: Path, place: Path) -> None:
        place.mkdir()
        for path in folder.iterdir():
            if path.is_dir():
                self._copy_all(path, place / path.name)
            else:
                self._copy_file(path.stat().st_ino, place / path.name)

    def _copy_file(self, number: int, place: Path) -> None:
        synced = self.store / str(number)
        place.write_bytes(synced.read_bytes() if synced.exists() else b"")
