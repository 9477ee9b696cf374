"""The ways in which prompts can go through a language model, and prompts as it takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Way:
    """How a batch of prompts goes through a language model.

    Attributes:
        has_cache: Whether a prompt is encoded once, into a cache that its beams share; else each token reads it again.
        is_batched: Whether prompts go beside each other, padded on the left; else one at a time.
    """

    has_cache: bool
    is_batched: bool

    @property
    def is_fast(self) -> bool:
        """Whether nothing is done twice."""
        return self.has_cache and self.is_batched

    def __str__(self) -> str:
        cache = "encoded once" if self.has_cache else "encoded again for each token"
        return f"{'in batches' if self.is_batched else 'one at a time'}, {cache}"


#: In the order in which they are tried.
WAYS = (Way(True, True), Way(True, False), Way(False, True), Way(False, False))


@dataclass(frozen=True)
class Encoded:
    """Prompts laid out for a language model, padded on the left.

    Attributes:
        vectors: [b, length, width], the input vectors.
        mask: [b, length] int64, 1 where there is one.
        last: [b] int64, the last token of each prompt (a prompt ends with text, never with an image).
    """

    vectors: Tensor
    mask: Tensor
    last: Tensor

    def each(self) -> Iterator[Encoded]:
        """Each prompt alone, without padding."""
        lengths = self.mask.sum(1).tolist()
        for place, length in enumerate(lengths):
            row = slice(place, place + 1)
            yield Encoded(self.vectors[row, -length:], self.mask[row, -length:], self.last[row])
