"""Names as they are spelled: hashed character n-grams, an encoder without weights for mentions and names."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from functools import lru_cache

import mmh3
import numpy as np
import scipy.sparse as sp

from dim.core.ngrams import ngrams_within
from dim.encoders.base import SparseTextEncoder
from dim.errors import ConfigError

MOST_COLUMNS = 2**24  #: As a linker's folder takes them (`dim.search.sparse_rows`).


class CharacterEncoder(SparseTextEncoder):
    """Logarithmic counts of character n-grams within words, hashed with signs into `width` columns.

    The counts are those of scikit-learn's HashingVectorizer (analyzer `char_wb`, not normalised).
    What a sentence encoder makes of a rare name depends on its word pieces; spelling does not.

    Args:
        width: Columns that the n-grams are hashed into.
        shortest: Characters of the shortest n-grams, the blank at a word's ends included.
        longest: Characters of the longest.

    Raises:
        ConfigError: No text has such n-grams, or there are no such columns.
    """

    def __init__(self, width: int = 1024, shortest: int = 2, longest: int = 4) -> None:
        if not 1 <= width <= MOST_COLUMNS:
            raise ConfigError(f"a width from 1 to {MOST_COLUMNS:,}", str(width), "Use a width such as 1024.")
        if not 1 <= shortest <= longest:
            found = f"shortest: {shortest} and longest: {longest}"
            raise ConfigError("n-grams of a character or more, the shortest first", found, "Use such as 2 and 4.")
        self._width, self.shortest, self.longest = width, shortest, longest

    @property
    def width(self) -> int:
        """Columns that the n-grams are hashed into."""
        return self._width

    @property
    def fingerprint(self) -> str:
        """The options, and the hash."""
        return f"characters:{self.width}:{self.shortest}-{self.longest}:murmur3"

    def encode_sparse(self, texts: Sequence[str]) -> sp.csr_matrix:
        """Features [len(texts), width]: sign · (1 + ln|count|) in each column that has a count."""
        found, ends = array("i"), array("q", [0])
        for text in texts:
            for word in text.lower().split():
                found.extend(_signed_columns(word, self.shortest, self.longest, self.width))
            ends.append(len(found))
        columns = np.array(found)
        signs = np.where(columns < 0, np.float32(-1), np.float32(1))
        columns = np.where(columns < 0, ~columns, columns)
        counts = sp.csr_matrix((signs, columns, np.array(ends)), (len(texts), self.width))
        counts.sum_duplicates()
        counts.eliminate_zeros()  # n-grams of one column and other signs
        counts.data = np.sign(counts.data) * (1 + np.log(np.abs(counts.data)))
        return counts


def as_now(fingerprint: str) -> str:
    """A recorded fingerprint of any encoder as it is now: of this one scikit-learn, whose hash it was, stood in it.

    Example:
        >>> as_now("characters:1024:2-4:sklearn-1.7.2") == CharacterEncoder().fingerprint
        True
    """
    return re.sub(r"^(characters:[^ ]*):sklearn-[^:]+$", r"\1:murmur3", fingerprint)


@lru_cache(2**16)
def _signed_columns(word: str, shortest: int, longest: int, width: int) -> array[int]:
    """The column of each n-gram of a word; with the sign -1 it comes as ~column, since -0 is 0."""
    numbers = map(mmh3.hash, ngrams_within([word], range(shortest, longest + 1)))  # 32 bits, signed
    return array("i", [number % width if number >= 0 else ~(-number % width) for number in numbers])
