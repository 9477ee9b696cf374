"""Image files named by the md5 of the file name in their URL, as WikiDiverse packs them."""

from __future__ import annotations

import re
from hashlib import md5
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from dim.releases.image_folder import ImageFolder

_EXTENSION = re.compile(r"\.(?:jpg|JPG|png|PNG|svg|SVG|jpeg|JPEG)")


class HashedImages:
    """Turns image URLs into the names of local files.

    Args:
        folder: The image folder, where there is one: of the names that packers use, the one that stands there is
            taken. Without it, or where none stands there, the name is that of the release.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else ImageFolder(folder)
        self.urls: dict[str, str] = {}  #: Local name → the URL that was the first to have it.

    def names(self, value: str) -> list[str]:
        """The local name of an image as a list of one; empty where there is no image, as it is where it is no URL."""
        if "://" not in value and not value.startswith("//"):
            return [value] if value else []
        if value.endswith("/"):
            return []
        names = hashed_names(value)
        local = names[0]
        if self._folder is not None:
            local = next((name for name in names if self._folder.look_up(name) == "here"), local)
        self.urls.setdefault(local, f"https:{value}" if value.startswith("//") else value)
        return [local]


def hashed_names(url: str) -> list[str]:
    """The local names that a URL may have, the one of the release first.

    WikiDiverse takes the md5 of the file name as it stands in the URL (quoted), then its extension; what has an
    extension that it does not know keeps its whole name behind the hash. `.svg` was converted to `.png`.

    Example:
        >>> hashed_names("https://upload.wikimedia.org/wikipedia/commons/0/06/A.svg")
        ['759ace9ae2c0a2ac940bfee6ad2d9489.png']
    """
    name = url.rsplit("/", 1)[-1]
    plain = unquote(name).replace(" ", "_")
    known = list(_EXTENSION.finditer(name, 1))
    released = re.sub(r"\.svg", ".png", name[known[-1].start() :] if known else name, flags=re.IGNORECASE)
    extension = PurePosixPath(plain).suffix
    # Other packers take the plain name, small letters, or make GIFs still.
    suffixes = (released, extension, extension.lower(), *([".png"] if extension.lower() == ".gif" else []))
    stems = (name, plain, plain.replace("_", " "), quote(plain))
    names = dict.fromkeys(md5(stem.encode()).hexdigest() + suffix for suffix in suffixes for stem in stems)
    return [name for name in names if not name.lower().endswith(".svg")]
