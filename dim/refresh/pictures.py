"""Images as a server takes them, and a picture that shows whether its model sees any.

A server whose model reads no images may answer all the same: some leave the image out without a word, and the model
describes what it never saw.
"""

from __future__ import annotations

import base64
import random
import re
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

COLOURS = {
    "red": (220, 20, 20),
    "green": (20, 150, 40),
    "blue": (30, 60, 220),
    "yellow": (250, 220, 30),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
}
QUESTION = (
    "The picture shows three fields of colour beside each other, and below them a number. "
    "Which colours are they, from left to right, and which number is it? Answer with three colours and the number."
)
_SIDE, _BELOW = 120, 120  # of a field, and the height of the strip with the number
_GREY = (128, 128, 128)


@dataclass(frozen=True)
class SightPicture:
    """Three fields of colour and a number.

    Attributes:
        colours: Keys of `COLOURS`, from left to right.
        number: Of two digits.
    """

    colours: tuple[str, str, str]
    number: int

    @classmethod
    def drawn(cls, rng: random.Random) -> SightPicture:
        """One of 9,600, which a model that sees nothing cannot guess."""
        first, second, third = rng.sample(list(COLOURS), 3)
        return cls((first, second, third), rng.randint(10, 89))

    @property
    def image(self) -> Image.Image:
        """The picture, 360 × 240 pixels."""
        image = Image.new("RGB", (3 * _SIDE, _SIDE + _BELOW), _GREY)
        draw = ImageDraw.Draw(image)
        for place, colour in enumerate(self.colours):
            draw.rectangle((place * _SIDE, 0, (place + 1) * _SIDE - 1, _SIDE - 1), fill=COLOURS[colour])
        middle = (1.5 * _SIDE, _SIDE + _BELOW / 2)
        draw.text(middle, str(self.number), font=ImageFont.load_default(size=90), fill=(255, 255, 255), anchor="mm")
        return image

    def is_told_by(self, answer: str) -> bool:
        """Whether an answer names the colours in their order, and the number.

        Example:
            >>> picture = SightPicture(("red", "black", "blue"), 47)
            >>> picture.is_told_by("Red, black and blue, and below them 47."), picture.is_told_by("A portrait, 47.")
            (True, False)
        """
        words = re.findall(r"[a-z]+|\d+", answer.lower())
        named = [word for word in words if word in COLOURS]
        return str(self.number) in words and named[:3] == list(self.colours)


def data_url(image: Image.Image, side: int) -> str:
    """An image within a request, as JPEG, its longer side scaled down to `side` pixels."""
    image = image.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    written = BytesIO()
    image.save(written, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"
