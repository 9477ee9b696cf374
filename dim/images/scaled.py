"""Images of at most so many pixels, or of such a side, for models that take images of any size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def scaled_down(
    image: Image.Image, max_pixels: int, least_side: int = 1, most_oblong: int | None = None
) -> NDArray[np.uint8]:
    """The image in RGB [height, width, 3], 0 to 255; what has a side that is too short is stretched first.

    Args:
        image: As decoded; what fits keeps its size.
        max_pixels: Of the result.
        least_side: Pixels that a side has before the image is scaled down.
        most_oblong: How many times a side may be as long as the other; None: any number.

    Example:
        >>> scaled_down(Image.new("L", (100, 40)), 1000).shape
        (20, 50, 3)
        >>> scaled_down(Image.new("L", (3000, 1)), 99_999, least_side=16, most_oblong=100).shape
        (30, 3000, 3)
    """
    image = image.convert("RGB")
    least = least_side if most_oblong is None else max(least_side, math.ceil(max(image.size) / most_oblong))
    width, height = (max(side, least) for side in image.size)
    scale = min(1.0, math.sqrt(max_pixels / (width * height)))
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    return np.asarray(image if size == image.size else image.resize(size, Image.Resampling.BICUBIC))


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """A copy whose longer side has at most so many pixels.

    Example:
        >>> shrunk(Image.new("RGB", (400, 100)), 200).size, shrunk(Image.new("RGB", (40, 10)), 200).size
        ((200, 50), (40, 10))
    """
    copy = image.copy()
    copy.thumbnail((side, side))
    return copy
