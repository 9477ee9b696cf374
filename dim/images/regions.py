"""A region of an image, written behind its path: `a.jpg#xywh=left,top,width,height` (W3C Media Fragments, pixels)."""

from __future__ import annotations

import re

Box = tuple[float, float, float, float]  #: left, top, width, height in pixels; it may stick out of the image

_NUMBER = r"(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)"
_REGION = re.compile(rf"#xywh={_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}\Z")


def split_region(path: str) -> tuple[str, Box | None]:
    """The file and the box of an image path; None where the path names the whole image.

    Only a trailing `#xywh=` with four numbers is a region, so file names may hold `#`.

    Example:
        >>> split_region("a.jpg#xywh=10,20.5,30,40")
        ('a.jpg', (10.0, 20.5, 30.0, 40.0))
        >>> split_region("song #1.jpg")
        ('song #1.jpg', None)
    """
    found = _REGION.search(path)
    if found is None:
        return path, None
    left, top, width, height = map(float, found.groups())
    return path[: found.start()], (left, top, width, height)


def with_region(path: str, box: Box) -> str:
    """The path of a box in an image, to a thousandth of a pixel: the inverse of `split_region`.

    Example:
        >>> with_region("a.jpg", (10, 20.5, 30, 40.00001))
        'a.jpg#xywh=10,20.5,30,40'
    """
    # 0.0 is added because the rounded -0.0001 would be written as -0.
    numbers = (f"{round(value, 3) + 0.0:.3f}".rstrip("0").rstrip(".") for value in box)
    return f"{path}#xywh={','.join(numbers)}"
