"""Pictures of the demo world: a figure with its looks, in one of five styles.

Every picture has the same size in pixels and, as PNG without compression, in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dim.core.progress import tracked
from dim.demo.vocabulary import LOOKS

SIZE = 64
NUM_TO_WATCH = 5_000  # from here on a progress bar is worth its line

Colour = tuple[int, int, int]

COATS: dict[str, Colour] = {
    "red": (205, 35, 35),
    "orange": (240, 135, 20),
    "yellow": (250, 220, 50),
    "green": (45, 150, 55),
    "turquoise": (60, 205, 200),
    "blue": (40, 70, 195),
    "purple": (130, 45, 160),
    "pink": (245, 150, 190),
    "brown": (120, 75, 40),
    "black": (25, 25, 30),
    "white": (245, 245, 245),
}
HAIR: dict[str, Colour] = {
    "black": (30, 28, 28),
    "brown": (105, 65, 35),
    "blonde": (238, 208, 115),
    "red": (200, 80, 25),
    "grey": (140, 140, 145),
    "white": (245, 245, 240),
}
#: Sky and ground.
PLACES: dict[str, tuple[Colour, Colour]] = {
    "sea": ((175, 215, 250), (35, 100, 175)),
    "forest": ((190, 225, 200), (35, 85, 45)),
    "desert": ((250, 230, 190), (225, 180, 105)),
    "snow": ((205, 220, 235), (250, 250, 252)),
    "city": ((200, 200, 205), (105, 105, 110)),
    "meadow": ((185, 220, 250), (130, 205, 85)),
}
SKIN: Colour = (232, 185, 150)
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Style:
    """How a picture is drawn.

    Attributes:
        tint: The colour that lies over the picture.
        strength: How much of the picture is tint, from 0 to 1.
        outline: The colour around coat and head, or None.
        hatch: Lines over the picture: none, `rows`, `columns` or `slanted`.
        square: A square head.
        shift: Pixels by which the figure stands right of the middle.
    """

    tint: Colour
    strength: float
    outline: Colour | None = None
    hatch: str | None = None
    square: bool = False
    shift: int = 0


STYLES = {
    "flat": Style(WHITE, 0.0),
    "ink": Style((250, 240, 215), 0.1, outline=BLACK, shift=-1),
    "pastel": Style(WHITE, 0.3, outline=(120, 110, 130), hatch="rows"),
    "dusk": Style((30, 30, 90), 0.3, hatch="slanted", shift=1),
    "poster": Style((255, 250, 240), 0.05, hatch="columns", square=True),
}
#: The styles of each split's pictures, and of the KB's. `tune` is carved from train and looks like it.
STYLES_OF = {
    "train": ("flat", "ink"),
    "tune": ("flat", "ink"),
    "dev": ("pastel",),
    "test": ("dusk",),
    "kb": ("poster",),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture to draw: looks in the order of LOOKS, and how far the figure has moved (pixels)."""

    path: str
    style: str
    looks: tuple[int, ...]
    moved: tuple[int, int]


_VALUES = [list(values) for values in LOOKS.values()]


def draw(picture: Picture) -> Image.Image:
    """The picture as an RGB image of 64 × 64 pixels."""
    style = STYLES[picture.style]
    coat, hair, glasses, hat, thing, place = (values[code] for values, code in zip(_VALUES, picture.looks, strict=True))
    sky, ground = PLACES[place]
    image = Image.new("RGB", (SIZE, SIZE), sky)
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((0, 44, SIZE, SIZE), fill=ground)
    if style.hatch:
        _hatch(canvas, style.hatch)
    x, y = 32 + picture.moved[0] + style.shift, picture.moved[1]
    canvas.polygon(
        [(x - 15, 66 + y), (x - 10, y + 37), (x + 10, y + 37), (x + 15, 66 + y)],
        fill=COATS[coat],
        outline=style.outline,
    )
    canvas.line((x + 8, y + 42, x + 17, y + 46), fill=COATS[coat], width=4)
    _draw_head(canvas, x, y, style, HAIR[hair], glasses == "dark")
    # A white collar and a black belt: each picture has a lightest and a darkest spot, whatever lies over it.
    canvas.polygon([(x - 4, y + 36), (x + 4, y + 36), (x, y + 41)], fill=WHITE)
    canvas.rectangle((x - 13, y + 59, x + 13, y + 60), fill=BLACK)
    if hat != "none":
        canvas.rectangle((x - 11, y + 3, x + 11, y + 11), fill=COATS[hat])
        canvas.rectangle((x - 16, y + 11, x + 16, y + 13), fill=COATS[hat])
    _draw_object(canvas, thing, x + 20, y + 42)
    return Image.blend(image, Image.new("RGB", image.size, style.tint), style.strength) if style.strength else image


def _draw_head(canvas: ImageDraw.ImageDraw, x: int, y: int, style: Style, hair: Colour, glasses: bool) -> None:
    shape = canvas.rectangle if style.square else canvas.ellipse
    shape((x - 15, y + 9, x + 15, y + 36), fill=hair, outline=style.outline)
    shape((x - 8, y + 15, x + 8, y + 37), fill=SKIN)
    for eye in (x - 4, x + 4):
        if glasses:
            canvas.rectangle((eye - 3, y + 21, eye + 3, y + 26), fill=BLACK)
        else:
            canvas.point((eye, y + 23), fill=BLACK)


def _draw_object(canvas: ImageDraw.ImageDraw, thing: str, x: int, y: int) -> None:
    canvas.ellipse((x - 4, y + 2, x, y + 6), fill=SKIN)
    match thing:
        case "ball":
            canvas.ellipse((x - 4, y - 9, x + 8, y + 3), fill=(245, 120, 20))
        case "book":
            canvas.rectangle((x - 3, y - 10, x + 6, y + 3), fill=(50, 50, 200))
        case "rose":
            canvas.line((x, y - 6, x, y + 8), fill=(30, 120, 40), width=2)
            canvas.ellipse((x - 5, y - 14, x + 6, y - 4), fill=(230, 30, 90))
        case "trumpet":
            canvas.polygon([(x - 4, y - 3), (x + 9, y - 11), (x + 9, y + 3)], fill=(235, 195, 30))
        case "umbrella":
            canvas.pieslice((x - 9, y - 22, x + 9, y - 2), 180, 360, fill=(110, 30, 150))
            canvas.line((x, y - 12, x, y + 4), fill=(110, 30, 150), width=2)
        case "guitar":
            canvas.line((x, y - 18, x, y), fill=(110, 60, 25), width=3)
            canvas.ellipse((x - 5, y - 7, x + 6, y + 5), fill=(110, 60, 25))


def _hatch(canvas: ImageDraw.ImageDraw, hatch: str) -> None:
    for i in range(0, 2 * SIZE, 7):
        match hatch:
            case "rows":
                canvas.line((0, i, SIZE, i), fill=WHITE)
            case "columns":
                canvas.line((i, 0, i, SIZE), fill=WHITE)
            case "slanted":
                canvas.line((i, 0, i - SIZE, SIZE), fill=BLACK)


def draw_all(pictures: Iterable[Picture | None], folder: Path) -> None:
    """Draws the pictures into `folder`, in the order of their paths, so that a file's date tells nothing either."""
    ordered = sorted(filter(None, pictures), key=lambda picture: picture.path)
    for parent in {(folder / picture.path).parent for picture in ordered}:
        parent.mkdir(parents=True, exist_ok=True)
    for picture in tracked(ordered, "drawing pictures", len(ordered), silent=len(ordered) < NUM_TO_WATCH):
        draw(picture).save(folder / picture.path, compress_level=0)


def picture_paths(count: int, rng: np.random.Generator) -> list[str]:
    """Different opaque file names, in 256 folders."""
    salt = rng.integers(256, size=count).tolist()
    numbers = (rng.permutation(count).astype(np.int64) * 0x9E3779B1 + 0x1234567) % 2**32  # odd factor: one to one
    return [f"{folder:02x}/{number:08x}.png" for folder, number in zip(salt, numbers.tolist(), strict=True)]
