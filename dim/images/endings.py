"""The endings of image files, by what the files begin with."""

from __future__ import annotations

_BEGINNINGS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def image_ending(data: bytes) -> str:
    """The ending that the bytes of an image file tell; empty where they tell none.

    Example:
        >>> image_ending(b"GIF89a"), image_ending(b"RIFF....WEBPVP8 "), image_ending(b"RIFF....WAVEfmt ")
        ('.gif', '.webp', '')
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((ending for head, ending in _BEGINNINGS.items() if data.startswith(head)), "")
