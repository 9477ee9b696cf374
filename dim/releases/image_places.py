"""Where the images that rows name stand: under the path named, or by a shorter one in a folder of images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from dim.images.regions import split_region
from dim.releases.image_folder import SUFFIXES, ImageFolder, is_image

State = Literal["here", "missing", "outside", "shared"]


@dataclass(frozen=True)
class Place:
    """Where a named image is.

    Attributes:
        state: `here`; `missing`; `outside` of the image folder; `shared`: only by a shorter path, to a file that
            other paths lead to as well.
        folder: The folder that holds it, where it is here.
        path: Its path in that folder, with the region that was named; else as it was named.
    """

    state: State
    folder: Path | None
    path: str


class ImagePlaces:
    """Finds named images.

    Args:
        folders: Where to look, the most likely first. In each the path is looked up as it is; then, in each, without
            its first folder, and so on down to the name of the file: `KVQAimgs/1.jpg` is `1.jpg` in a folder `img`.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [(folder, ImageFolder(folder)) for folder in dict.fromkeys(folders)]

    def find(self, paths: Iterable[str]) -> dict[str, Place]:
        """The place of each path. Of paths that would share a file by a shortened name none has it.

        Nor has one a file by a shortened name that another names as it is, unless that is the end of it.
        """
        found = {path: self._find(path) for path in dict.fromkeys(paths)}
        named: defaultdict[Path, dict[str, bool]] = defaultdict(
            dict
        )  # of each file the paths, and whether they are short
        for path, (place, is_short) in found.items():
            if place.folder is not None:
                named[_file_of(place)][split_region(path)[0]] = is_short
        return {
            path: Place("shared", None, path)
            if is_short and place.folder is not None and _is_shared(split_region(path)[0], named[_file_of(place)])
            else place
            for path, (place, is_short) in found.items()
        }

    def by_key(self, key: str) -> list[Place]:
        """The images that are called by a row's id: a file `<key>.jpg` (or .png …), else all in a folder `<key>`."""
        for folder, listed in self._folders:
            for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)):
                if key and listed.look_up(key + suffix) == "here":
                    return [Place("here", folder, key + suffix)]
        for folder, listed in self._folders:
            names = [name for name in listed.names(key) if is_image(name)] if key and key.strip(".") else []
            if names:
                return [Place("here", folder, f"{key}/{name}") for name in names]
        return []

    def _find(self, path: str) -> tuple[Place, bool]:
        """The place of a path, and whether it was found by a shorter one."""
        file, box = split_region(path)
        region = "" if box is None else path[len(file) :]
        parts = PurePosixPath(file).parts
        states = [listed.look_up(file) for _, listed in self._folders]
        if "here" in states:
            return Place("here", self._folders[states.index("here")][0], path), False
        if "\0" not in path and ".." not in parts:
            for skipped in range(1, len(parts)):
                short = str(PurePosixPath(*parts[skipped:]))
                for folder, listed in self._folders:
                    if listed.look_up(short) == "here" and not _is_another(Path(file), folder / short):
                        return Place("here", folder, short + region), True
        return Place("outside" if "outside" in states else "missing", None, path), False


def _file_of(place: Place) -> Path:
    assert place.folder is not None
    return place.folder / split_region(place.path)[0]


def _is_another(named: Path, found: Path) -> bool:
    """Whether a path leads to a file of this machine, and that is not the one that was found by a shorter path."""
    try:
        return named.is_absolute() and named.is_file() and not named.samefile(found)
    except OSError:
        return False


def _is_shared(path: str, named: Mapping[str, bool]) -> bool:
    """Whether a file that a path leads to by a shorter one is another's too, by all that lead there and how."""
    return any(other != path and (is_short or not path.endswith(f"/{other}")) for other, is_short in named.items())
