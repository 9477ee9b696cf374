"""What an encoder is. Encoders are frozen: the same input always gives the same row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Features = NDArray[np.float32]


class Encoder(ABC):
    """What all encoders share. Constructors are cheap: weights load at the first call that needs them."""

    @property
    @abstractmethod
    def width(self) -> int:
        """The number of columns of a feature row."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A string that changes whenever the output would: class, version, weights' hash, options that count.

        Device and number of worker processes are no part of it.
        """


class TextEncoder(Encoder):
    """Turns texts into vectors."""

    @abstractmethod
    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width], float32, finite. One call is one batch; an empty string is a text."""


class ImageEncoder(Encoder):
    """Turns images into vectors, in two steps, so that decoding can run in worker processes."""

    @abstractmethod
    def preprocess(self, image: Image.Image) -> Any:
        """One decoded RGB image as the encoder's input (an array of one fixed shape and type)."""

    @abstractmethod
    def encode_image(self, pixels: Any) -> Features:
        """Features [batch, width], float32, finite, of a stack [batch, …] of `preprocess`' results."""


class Captioner(ABC):
    """Says in words what an image shows."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A string that changes whenever the captions would."""

    @abstractmethod
    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """One sentence for each decoded RGB image. One call is one batch."""
