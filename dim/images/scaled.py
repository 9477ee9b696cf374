"""An image of at most so many pixels, for models that take images of any size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def scaled_down(image: Image.Image, max_pixels: int) -> NDArray[np.uint8]:
    """The image in RGB [height, width, 3], 0 to 255, in its own shape; a side keeps a pixel at least.

    Args:
        image: As decoded; what has at most `max_pixels` keeps its size.
        max_pixels: Of the result.

    Example:
        >>> scaled_down(Image.new("L", (100, 40)), 1000).shape
        (20, 50, 3)
    """
    image = image.convert("RGB")
    scale = math.sqrt(max_pixels / (image.width * image.height))
    if scale < 1:
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image)
