"""From a file, or a region of it (`dim.images.regions`), to an RGB image, by stated rules.

| the file | becomes |
|---|---|
| is absent, or its path cannot be one | unusable: `not found` |
| stands outside the image folder, by `..` or by a link | unusable: `outside the image folder` |
| is a folder, a pipe or a device | unusable: `not a file` |
| may not be read | unusable: `no permission` |
| has no bytes | unusable: `empty file` |
| has more than 178,956,970 pixels or 1 GiB | unusable: `too large` |
| is more than 100 times as long as wide, or the reverse (also of a region) | unusable: `too narrow` |
| is named with a region that no pixel of it lies in | unusable: `empty region` |
| is truncated, corrupt, or of a format not in `FORMATS` (SVG, HEIC, EPS …) | unusable: `unreadable` |
| has a wrong extension | read by its content |
| is animated, or has pages | its first frame |
| has an EXIF rotation | turned upright |
| has transparency (also in a palette) | laid on white |
| is 16-bit grey | 0 … 65535 becomes 0 … 255 |
| is grey of 32-bit integers or floats | its own minimum … maximum becomes 0 … 255 |
| is CMYK, palette, 1-bit … | converted to RGB by Pillow |
| is named with a region | the pixels that the box touches; what sticks out of the upright image is cut off |

What is unusable is missing, and counted by its reason; it is never a black image. Decoded in another process
(`dim.images.decoders`) it may also be `too large` for the memory that its header tells, or have the reasons
`its decoder ended` and `took too long to decode`.
"""

from __future__ import annotations

import errno
import io
import math
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dim.core.cores import usable_cores
from dim.images.found_files import path_on_disk
from dim.images.regions import Box, split_region
from dim.images.whole_files import WHOLE_FILES

MAX_PIXELS = 178_956_970  # where Pillow speaks of a decompression bomb
MAX_BYTES = 2**30
MAX_RATIO = 100  # beyond, a resize of the short side to 224 would fill the memory
# EPS is left out on purpose: Pillow hands it to Ghostscript.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF")
_NO_SUCH_PATH = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}


def num_decoders(asked: int | None = None) -> int:
    """How many workers decode images: as many as asked for, else one a core, at most 8."""
    return min(usable_cores(), 8) if asked is None else asked


class UnusableImageError(Exception):
    """An image file that by rule counts as missing; `reason` is one of the words in the table above."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def load_image(path: Path, root: Path, draft_side: int | None = None) -> Image.Image:
    """The image in a file under `root`, as RGB; a region of it where the path ends in one.

    Args:
        path: The file, or a region of it.
        root: The image folder.
        draft_side: Where not None, a whole JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which saves most of the
            time, as long as its short side keeps that many pixels. Regions and other formats are as without it.

    Raises:
        UnusableImageError: A rule says that this file counts as missing.
        OSError: The disk failed; that is no fact about the image.
    """
    file, box = split_region(str(path))
    return decode_image(read_image(Path(file), root), draft_side, box)


def find_image(path: Path, root: Path) -> Path:
    """The file of an image under `root`, its links followed.

    Raises:
        UnusableImageError: There is none, it stands elsewhere, is no file, empty, too large, or may not be read.
        OSError: The disk failed; that is no fact about the image.
    """
    with _reasons():
        found = path_on_disk(path).resolve()
        if not found.is_relative_to(root.resolve()):
            raise UnusableImageError("outside the image folder")
        status = found.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnusableImageError("not a file")
        if status.st_size == 0:
            raise UnusableImageError("empty file")
        if status.st_size > MAX_BYTES:
            raise UnusableImageError("too large")
        return found


def read_image(path: Path, root: Path) -> bytes:
    """The bytes of an image's file under `root`, which may be no image.

    Raises:
        UnusableImageError: As `find_image`.
        OSError: Likewise.
    """
    found = find_image(path, root)
    with _reasons():
        return found.read_bytes()


def decode_image(data: bytes, draft_side: int | None = None, box: Box | None = None) -> Image.Image:
    """The image in the bytes of a file, as RGB; of a region of it, where a box is given.

    Raises:
        UnusableImageError: A rule says that it counts as missing.
    """
    if not data:
        raise UnusableImageError("empty file")
    try:
        with WHOLE_FILES.alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings on size and metadata; the rules decide
            image = _decode(data, draft_side if box is None else None)
            return image if box is None else _crop(image, box)
    except (UnusableImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise UnusableImageError("too large") from error
    except Exception as error:  # Pillow's decoders raise many kinds on bytes that are no image
        raise UnusableImageError("unreadable") from error


@contextmanager
def _reasons() -> Iterator[None]:
    """What the system says of a path as a reason, where it is a fact about the image."""
    try:
        yield
    except PermissionError as error:
        raise UnusableImageError("no permission") from error
    except (ValueError, RuntimeError) as error:  # a null byte in the path; a loop of links
        raise UnusableImageError("not found") from error
    except OSError as error:
        if error.errno in _NO_SUCH_PATH:
            raise UnusableImageError("not found") from error
        raise


def _decode(data: bytes, draft_side: int | None) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(data), formats=readable())
    if image.width * image.height > MAX_PIXELS:
        raise UnusableImageError("too large")
    _check_ratio(image.size)
    if draft_side is not None:
        image.draft(None, (draft_side, draft_side))  # does nothing but for JPEG
    image.load()
    return _rgb(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """An opened image as RGB, by the same rules as one from a file.

    Raises:
        UnusableImageError: It is too large or too narrow.
    """
    if image.width * image.height > MAX_PIXELS:
        raise UnusableImageError("too large")
    _check_ratio(image.size)
    with WHOLE_FILES.alone():  # its pixels may not be read yet
        return _rgb(image)


def _check_ratio(size: tuple[int, int]) -> None:
    if max(size) > MAX_RATIO * min(size):
        raise UnusableImageError("too narrow")


def _crop(image: Image.Image, box: Box) -> Image.Image:
    left, top, width, height = box
    first_column, first_row = max(math.floor(left), 0), max(math.floor(top), 0)
    num_columns = min(math.ceil(left + width), image.width) - first_column
    num_rows = min(math.ceil(top + height), image.height) - first_row
    if min(width, height, num_columns, num_rows) <= 0:
        raise UnusableImageError("empty region")
    _check_ratio((num_columns, num_rows))
    return image.crop((first_column, first_row, first_column + num_columns, first_row + num_rows))


@cache
def readable() -> list[str]:
    """The formats of `FORMATS` that this Pillow reads."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # garbled EXIF says nothing about the pixels
        return image


def _rgb(image: Image.Image) -> Image.Image:
    # Pillow holds 16 bits of a PGM in 32, and its format is forgotten when it is turned.
    is_deep = image.mode.startswith("I;16") or (image.format, image.mode) == ("PPM", "I")
    return _to_rgb(_upright(image), is_deep)


def _to_rgb(image: Image.Image, is_deep: bool) -> Image.Image:
    if is_deep:
        return _grey(np.asarray(image, dtype=np.float64) * (255 / 65535))
    if image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float64)
        low, high = values.min(), values.max()
        if not np.isfinite(high - low):
            raise UnusableImageError("unreadable")
        return _grey((values - low) * (255 / max(high - low, 1e-12)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _grey(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Image.Image:
    return Image.fromarray(np.rint(values).astype(np.uint8)).convert("RGB")
