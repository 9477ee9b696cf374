"""What decoding an image costs in memory, told by its header."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dim.images.reading import MAX_PIXELS, UnusableImageError, readable

#: Bytes a pixel, at the peak, of decoding an image to upright RGB: measured of 51 files with Pillow 13, the worst of
#: each format (16 bits, transparency, a rotation, frames, progressive, tiled), and a tenth added.
PIXEL_BYTES = {
    "JPEG": 14,
    "MPO": 14,
    "PNG": 24,
    "GIF": 15,
    "WEBP": 31,
    "BMP": 14,
    "TIFF": 24,
    "PPM": 14,
    "ICO": 24,
    "JPEG2000": 28,
    "AVIF": 25,
}
WIDE_BYTES = 40  #: The same of grey in 32 bits, of any format: it is stretched as float64.
DRAFT_BYTES = 10  #: The same of a JPEG that is decoded at half its size or less.
MOST_BYTES = max(WIDE_BYTES, *PIXEL_BYTES.values())
FIXED_BYTES = 32_000_000  #: What any image may take besides.


class NoImageError(UnusableImageError):
    """The first bytes are those of no image that is read."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image say of it.

    Attributes:
        format: By Pillow's name.
        mode: Likewise.
        width: Pixels of its first frame, as it is stored.
        height: Likewise.
    """

    format: str
    mode: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Of the first frame."""
        return self.width * self.height


def read_header(source: bytes | Path, has_icons: bool = True) -> Header:
    """The header of an image, which is not decoded.

    Args:
        source: Its bytes, or its file.
        has_icons: Whether an icon file is an image; the pictures in it may be larger than it says.

    Raises:
        NoImageError: It is none that is read.
    """
    if not source:
        raise NoImageError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of many pixels: counted here
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            formats = [name for name in readable() if has_icons or name != "ICO"]
            with Image.open(file, formats=formats) as image:
                return Header(str(image.format), image.mode, *image.size)
    except Image.DecompressionBombError as error:
        counted = re.search(r"\((\d+) pixels", str(error))
        return Header("", "", int(counted[1]) if counted else 2 * MAX_PIXELS, 1)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds on bytes that are no image
        raise NoImageError("unreadable") from error


def header_bytes(source: bytes | Path) -> int:
    """The memory that reading a header takes, in bytes, at most."""
    if isinstance(source, bytes):
        num_bytes, start = len(source), source[:12]
    else:
        with source.open("rb") as file:
            num_bytes, start = source.stat().st_size, file.read(12)
    # libwebp asks for the memory of two frames when a file is opened, and writes into it when it is decoded.
    return FIXED_BYTES + 2 * num_bytes + (8 * MAX_PIXELS if start[8:] == b"WEBP" else 0)


def decoding_bytes(header: Header, num_bytes: int, draft_side: int | None = None) -> int:
    """The memory that decoding takes, in bytes, at most, if the header tells the truth.

    Args:
        header: Of the image.
        num_bytes: Of its file.
        draft_side: As `dim.images.reading.load_image` takes it.

    Example:
        >>> decoding_bytes(Header("JPEG", "RGB", 4000, 3000), 2_000_000)
        204000000
    """
    a_pixel = PIXEL_BYTES.get(header.format, MOST_BYTES)
    if header.mode in ("I", "F"):
        a_pixel = WIDE_BYTES
    elif header.format == "JPEG" and draft_side is not None and min(header.width, header.height) >= 2 * draft_side:
        a_pixel = DRAFT_BYTES
    return FIXED_BYTES + 2 * num_bytes + a_pixel * header.pixels  # some readers copy the file
