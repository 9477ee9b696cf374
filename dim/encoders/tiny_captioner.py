"""A captioner without weights: it says which colours it finds where the parts of a standing figure would be.

It reads pixels only. On the drawings of the demo it is mostly right, on any other image it still says what it
found at those places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dim.encoders.base import Captioner

VERSION = 1  #: Raise it with any change of the captions.
SIDE = 64

Region = tuple[slice, slice]  # rows, columns
Pixels = NDArray[np.float64]
Colours = Mapping[str, tuple[int, int, int]]

CLOTHES: Colours = {
    "red": (200, 40, 40),
    "orange": (240, 140, 30),
    "yellow": (248, 220, 60),
    "green": (50, 150, 60),
    "turquoise": (64, 205, 200),
    "blue": (45, 75, 195),
    "purple": (130, 50, 160),
    "pink": (245, 155, 190),
    "brown": (120, 75, 40),
    "black": (25, 25, 30),
    "white": (245, 245, 245),
}
HAIR: Colours = {
    "black": (30, 28, 28),
    "brown": (105, 65, 35),
    "blonde": (238, 208, 115),
    "red": (200, 80, 25),
    "grey": (140, 140, 145),
    "white": (245, 245, 240),
}
GROUNDS: Colours = {
    "by the sea": (35, 100, 175),
    "in a forest": (35, 85, 45),
    "in a desert": (225, 180, 105),
    "in the snow": (250, 250, 252),
    "in a city": (105, 105, 110),
    "on a meadow": (130, 205, 85),
}
THINGS: Colours = {
    "a ball": (245, 120, 20),
    "a book": (50, 50, 200),
    "a rose": (230, 30, 90),
    "a trumpet": (235, 195, 30),
    "an umbrella": (110, 30, 150),
    "a guitar": (110, 60, 25),
}

_COAT: Region = (slice(46, 57), slice(26, 39))
_HAIR_LEFT: Region = (slice(19, 30), slice(19, 23))
_HAIR_RIGHT: Region = (slice(19, 30), slice(42, 46))
_HAT: Region = (slice(5, 9), slice(27, 38))
_SKY: Region = (slice(1, 10), slice(1, 12))
_EYES: Region = (slice(19, 29), slice(25, 40))
_HAND: Region = (slice(22, 46), slice(50, 63))
_OTHER_SIDE: Region = (slice(22, 46), slice(1, 14))
_GROUND: Region = (slice(52, 64), slice(1, 14))

_DIFFERENT = 60.0  # distance of two colours (RGB, 0 to 441) from which they are two
_DARK = 60.0  # mean of the channels, 0 to 255
_SUNGLASSES = 0.2  # share of dark pixels around the eyes
_THING = 0.06  # share of the pixels beside the hand that differ from the other side


class TinyCaptioner(Captioner):
    """Captions such as `a person with red hair, a green coat, a blue hat and glasses, holding a ball, by the sea`."""

    @property
    def fingerprint(self) -> str:
        """Class and version: all that decides the captions."""
        return f"TinyCaptioner-v{VERSION}"

    def caption(self, images: Sequence[Image.Image], questions: Sequence[str] = ()) -> list[str]:
        """One sentence for each image, whatever is asked."""
        return [_caption(_pixels(image)) for image in images]


def _pixels(image: Image.Image) -> Pixels:
    """Pixels [64, 64, 3], 0 to 255, with stretched levels: what is faded or tinted gets its colours back."""
    return np.asarray(ImageOps.autocontrast(image.convert("RGB")).resize((SIDE, SIDE)), dtype=np.float64)


def _caption(pixels: Pixels) -> str:
    hair = np.concatenate([pixels[side].reshape(-1, 3) for side in (_HAIR_LEFT, _HAIR_RIGHT)])
    coat = _nearest(_colour(pixels[_COAT]), CLOTHES)
    hat = _colour(pixels[_HAT])
    worn = [f"{_nearest(_colour(hair), HAIR)} hair", f"a {coat} coat"]
    if np.linalg.norm(hat - _colour(pixels[_SKY])) > _DIFFERENT:
        worn.append(f"a {_nearest(hat, CLOTHES)} hat")
    if (pixels[_EYES].mean(axis=-1) < _DARK).mean() > _SUNGLASSES:
        worn.append("glasses")
    thing = _thing(pixels)
    holding = f", holding {thing}" if thing else ""
    ground = _nearest(_colour(pixels[_GROUND]), GROUNDS)
    return f"a person with {', '.join(worn[:-1])} and {worn[-1]}{holding}, {ground}"


def _thing(pixels: Pixels) -> str | None:
    """What stands out at the right, where the left side of the image shows the bare background."""
    beside, bare = pixels[_HAND], pixels[_OTHER_SIDE][:, ::-1]
    differs = np.linalg.norm(beside - bare, axis=-1) > _DIFFERENT
    return _nearest(_colour(beside[differs]), THINGS) if differs.mean() > _THING else None


def _colour(region: Pixels) -> Pixels:
    """The median colour: lines and edges that cover less than half do not count."""
    median: Pixels = np.median(region.reshape(-1, 3), axis=0)
    return median


def _nearest(colour: Pixels, names: Colours) -> str:
    distances = {name: float(np.linalg.norm(colour - np.array(known))) for name, known in names.items()}
    return min(distances, key=distances.__getitem__)
