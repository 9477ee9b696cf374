"""Images that a caller gives: a path, the bytes of a file, or an opened image."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from PIL import Image

from dim.images.reading import UnusableImageError, decode_image, load_image, upright_rgb


class Decode(Protocol):
    """Decodes an image: the bytes of a file, or the file at a path, or a region of it."""

    def __call__(self, image: bytes | str | Path, draft_side: int | None) -> Image.Image:
        """The image as RGB. Raises UnusableImageError where by the rules it counts as missing."""


def decode_here(image: bytes | str | Path, draft_side: int | None) -> Image.Image:
    """The image, decoded in this process; `dim.images.decoders` does the same in others."""
    if isinstance(image, bytes):
        return decode_image(image, draft_side)
    path = Path(image)
    return load_image(path, Path(path.absolute().anchor), draft_side)  # whoever calls may name any file


def open_image(
    image: str | Path | bytes | Image.Image, draft_side: int | None = None, decode: Decode = decode_here
) -> Image.Image:
    """An image given as a path, as the bytes of a file, or opened, as RGB by the rules of `dim.images.reading`.

    Raises:
        UnusableImageError: By these rules it counts as missing.
    """
    return _whole(image) if isinstance(image, Image.Image) else decode(image, draft_side)


def _whole(image: Image.Image) -> Image.Image:
    if not min(image.size):
        raise UnusableImageError("too narrow")
    try:
        return upright_rgb(image)
    except (UnusableImageError, MemoryError):
        raise
    except Exception as error:  # Pillow reads pixels late: a truncated file is found out here
        raise UnusableImageError("unreadable") from error
