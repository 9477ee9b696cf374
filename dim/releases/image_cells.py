"""Images as a user's tables name them: paths of this machine, paths of Windows, URLs."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dim.data.table_files import list_cell
from dim.images.regions import split_region
from dim.images.remote import fetched_path
from dim.releases.image_folder import ImageFolder

_URL = re.compile(r"https?://", re.IGNORECASE)
_NEXT_URL = re.compile(r"[|;,\s]+(?=https?://)", re.IGNORECASE)


class ImageCells:
    """Turns what rows call images into paths in the image folder, and counts what it took for what.

    Args:
        root: The folder of the tables.
    """

    def __init__(self, root: Path) -> None:
        self._roots = [root.absolute(), root.resolve()]
        self._folder = ImageFolder(root)
        self.urls: dict[str, str] = {}  #: Path → URL.
        self.num_absolute = self.num_backslash = 0

    def path(self, value: str) -> str:
        """The path of one image, in the image folder where it lies there; else as it stands."""
        file, _ = split_region(value)
        return self._file(file) + value[len(file) :]

    def _file(self, value: str) -> str:
        if is_url(value):
            self.urls[fetched_path(value)] = value
            return fetched_path(value)
        if value.lower().startswith("file://"):
            value = unquote(urlsplit(value).path)
        if "\\" in value and self._folder.look_up(value) != "here":
            self.num_backslash += 1
            value = value.replace("\\", "/")
        for root in self._roots:
            if value.startswith("/") and Path(value).is_relative_to(root):
                self.num_absolute += 1
                return str(Path(value).relative_to(root))
        return value

    def notes(self) -> list[str]:
        """What the user should read."""
        notes = []
        if self.num_absolute:
            notes.append(f"absolute image paths into the folder of the tables, read as relative: {self.num_absolute:,}")
        if self.num_backslash:
            notes.append(f"image paths with backslashes, read as slashes: {self.num_backslash:,}")
        if self.urls:
            notes.append(f"images named by URL: {len(self.urls):,}; dim fetch-images gets them")
        return notes


def is_url(value: str) -> bool:
    """Tells whether an image is named by a URL.

    Example:
        >>> is_url("https://example.org/a.jpg"), is_url("images/a.jpg")
        (True, False)
    """
    return _URL.match(value) is not None


def cut_urls(cell: str) -> list[str]:
    """The URLs of a cell that begins with one: they may hold the marks that separate other values.

    Example:
        >>> cut_urls("https://example.org/a;b.jpg; https://example.org/c.jpg")
        ['https://example.org/a;b.jpg', 'https://example.org/c.jpg']
    """
    return [url for part in _NEXT_URL.split(cell) for url in list_cell([part.strip(" |;,")])]
