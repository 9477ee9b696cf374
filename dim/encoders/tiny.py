"""Encoders without weights, for tests and the demo: the same result on every machine, in no time.

`TinyTextEncoder` hashes words, pairs of words and the character n-grams of each word. `TinyImageEncoder` measures
where in an image which colour is. The captioner beside them is in `dim.encoders.tiny_captioner`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import mmh3
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dim.encoders.base import Features, ImageEncoder, TextEncoder
from dim.errors import ConfigError

VERSION = 1  #: Raise it with any change of the output.
MIN_WIDTH = 16

_WORD = re.compile(r"\w+")
# Words that say nothing of whom a text is about; `sep` is what is left of the separator [SEP].
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a an and are as at be been by for from had has have he her him his in is it its of on or sep she that the "
        "their they this to was were which who with"
    )
)
_NGRAM_SIZES = (3, 4)
_NGRAM_WEIGHT = 0.6  # of all n-grams of a word together, beside 1 for the word itself
_PAIR_WEIGHT = 0.7


class TinyTextEncoder(TextEncoder):
    """Text as a bag of hashed words, pairs of neighbouring words and character n-grams; length 1.

    Half of the columns hold words and pairs, the other half n-grams. An empty text is the zero vector.

    Args:
        width: Columns of a feature row; more of them mean fewer collisions.
        tokens: Give each word's vector, too, behind that of the whole text, for a method that looks at each.
    """

    def __init__(self, width: int = 1024, tokens: bool = False) -> None:
        if width < MIN_WIDTH or width % 2:
            raise ConfigError(f"an even width of at least {MIN_WIDTH}", str(width), "Use a width such as 1024.")
        self._width, self.tokens = width, tokens

    @property
    def width(self) -> int:
        """The number of columns of a feature row."""
        return self._width

    @property
    def fingerprint(self) -> str:
        """Class, version and sizes: all that decides the output."""
        return f"TinyTextEncoder-v{VERSION}-{self._width}{'-tokens' if self.tokens else ''}"

    def num_vectors(self, texts: Sequence[str]) -> NDArray[np.int64] | None:
        """With `tokens` one of the text, and one of each word that says something."""
        return np.array([1 + len(_words(text)) for text in texts], np.int64) if self.tokens else None

    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width], float32; each row has length 1, or 0 where the text has no word.

        With `tokens` a text's row stands before those of its words.

        Example:
            >>> a, b, c = TinyTextEncoder().encode_text(["Ada Moreau", "A. Moreau", "Hugo Stern"])
            >>> bool(a @ b > a @ c)
            True
        """
        if self.tokens:
            texts = [part for text in texts for part in (text, *_words(text))]
        numbers: dict[str, int] = {}
        rows, terms, counts = [], [], []
        for row, text in enumerate(texts):
            for term, count in Counter(_terms(text)).items():
                rows.append(row)
                terms.append(numbers.setdefault(term, len(numbers)))
                counts.append(count)
        buckets = _Buckets(numbers, self._width)
        columns, values, owner = buckets.of(np.array(terms, dtype=np.int64))
        cells = np.array(rows, dtype=np.int64)[owner] * self._width + columns
        weights = (1 + np.log(np.array(counts, dtype=np.float64)))[owner] * values
        features = np.bincount(cells, weights, len(texts) * self._width).reshape(len(texts), self._width)
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        unit: Features = (features / np.where(lengths == 0, 1, lengths)).astype(np.float32)
        return unit


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.casefold()) if word not in _STOP_WORDS]


def _terms(text: str) -> list[str]:
    """The words of a text and their pairs; a pair holds a space."""
    words = _words(text)
    return words + [f"{first} {second}" for first, second in pairwise(words)]


class _Buckets:
    """The hashed columns of each term, laid end to end."""

    def __init__(self, terms: Iterable[str], width: int) -> None:
        columns: list[int] = []
        values: list[float] = []
        ends = [0]
        for term in terms:
            at, weights = _hashed(term, width)
            columns += at
            values += weights
            ends.append(len(columns))
        self._columns, self._values = np.array(columns, dtype=np.int64), np.array(values, dtype=np.float64)
        self._ends = np.array(ends)

    def of(self, terms: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Columns and values of all terms, and for each the position of its term in `terms`."""
        starts, ends = self._ends[terms], self._ends[terms + 1]
        sizes = ends - starts
        owner = np.repeat(np.arange(len(terms)), sizes)
        at = np.arange(len(owner)) + np.repeat(ends - np.cumsum(sizes), sizes)
        return self._columns[at], self._values[at], owner


@lru_cache(maxsize=1 << 18)
def _hashed(term: str, width: int) -> tuple[list[int], list[float]]:
    half = width // 2
    at, sign = _bucket(term, half)
    if " " in term:
        return [at], [sign * _PAIR_WEIGHT]
    marked = f"<{term}>"
    ngrams = [marked[i : i + size] for size in _NGRAM_SIZES for i in range(len(marked) - size + 1)]
    columns, values = [at], [sign]
    for ngram in ngrams:
        at, sign = _bucket(ngram, half)
        columns.append(half + at)
        values.append(sign * _NGRAM_WEIGHT / len(ngrams) ** 0.5)
    return columns, values


def _bucket(text: str, size: int) -> tuple[int, float]:
    number = mmh3.hash(text, signed=False)
    return (number >> 1) % size, 1.0 if number & 1 else -1.0


class TinyImageEncoder(ImageEncoder):
    """Image as the mean colour of each cell of a fine grid and the colours found in each cell of a coarse one.

    Levels are stretched first, so that a faded or tinted picture is seen as if it were neither. Length 1.

    Args:
        patches: Give each coarse cell's vector, too, behind that of the whole image, for a method that looks at each:
            the same columns, those of other cells at 0, scaled to length 1.
    """

    _SIDE = 32
    _FINE, _COARSE = 8, 4
    _LEVELS = 3  # a channel; 27 colours

    def __init__(self, patches: bool = False) -> None:
        self.patches = patches

    @property
    def num_patches(self) -> int:
        """1, or with `patches` one more than there are coarse cells."""
        return 1 + self._COARSE**2 if self.patches else 1

    @property
    def gives_whole_first(self) -> bool:
        """It does."""
        return True

    @property
    def width(self) -> int:
        """The number of columns of a feature row."""
        return 3 * self._FINE**2 + self._LEVELS**3 * self._COARSE**2

    @property
    def fingerprint(self) -> str:
        """Class, version and sizes: all that decides the output."""
        of_patches = "-patches" if self.patches else ""
        return f"TinyImageEncoder-v{VERSION}-{self._SIDE}-{self._FINE}-{self._COARSE}-{self._LEVELS}{of_patches}"

    def preprocess(self, image: Image.Image) -> NDArray[np.uint8]:
        """Pixels [32, 32, 3], uint8."""
        levelled = ImageOps.autocontrast(image.convert("RGB"))
        return np.asarray(levelled.resize((self._SIDE, self._SIDE), Image.Resampling.BOX))

    def encode_image(self, pixels: Any) -> Features:
        """Features [batch · num_patches, width], float32, of pixels [batch, 32, 32, 3]; each row has length 1."""
        pixels = np.asarray(pixels, dtype=np.uint8)
        colours = _cells(pixels / 255.0, self._FINE).mean(axis=3) - 0.5  # [B, fine, fine, 3]
        steps = np.minimum(pixels // (256 // self._LEVELS), self._LEVELS - 1).astype(np.int64)
        found = steps @ self._LEVELS ** np.arange(3)  # [B, 32, 32], one number a colour
        cells = _cells(found[..., None], self._COARSE)[..., 0]  # [B, coarse, coarse, pixels]
        shares = np.stack([(cells == colour).mean(axis=3) for colour in range(self._LEVELS**3)], axis=-1)
        features = np.concatenate([_rows(colours), _rows(np.sqrt(shares))], axis=1)
        if self.patches:
            features = np.stack([features, *(features * cell for cell in self._in_cells())], axis=1)
            features = features.reshape(-1, self.width)
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        unit: Features = (features / np.where(lengths == 0, 1, lengths)).astype(np.float32)
        return unit

    @classmethod
    def _in_cells(cls) -> NDArray[np.bool_]:
        """Which columns [cells, width] are of each coarse cell: the fine cells in it come first, then its colours."""
        cells = np.arange(cls._COARSE**2)
        places = np.arange(cls._FINE) * cls._COARSE // cls._FINE
        fine = (places[:, None] * cls._COARSE + places).repeat(3)  # the coarse cell of each fine one, a channel each
        is_in: NDArray[np.bool_] = np.concatenate([fine.ravel(), cells.repeat(cls._LEVELS**3)]) == cells[:, None]
        return is_in


def _cells(pixels: NDArray[Any], count: int) -> NDArray[Any]:
    """[B, side, side, C] → [B, count, count, pixels of a cell, C]."""
    batch, side, _, channels = pixels.shape
    size = side // count
    split = pixels.reshape(batch, count, size, count, size, channels).swapaxes(2, 3)
    return split.reshape(batch, count, count, size * size, channels)


def _rows(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """One row of length 1 an image (or 0 where all is 0)."""
    rows = cells.reshape(len(cells), -1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(lengths == 0, 1, lengths)
    return unit
