"""Names as they are spelled: hashed character n-grams, an encoder without weights for mentions and names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import scipy.sparse as sp

from dim.encoders.base import SparseTextEncoder


class CharacterEncoder(SparseTextEncoder):
    """Logarithmic counts of character n-grams within words (`char_wb`), hashed with signs into `width` columns.

    What a sentence encoder makes of a rare name depends on its word pieces; spelling does not.

    Args:
        width: Columns that the n-grams are hashed into.
        shortest: Characters of the shortest n-grams, the blank at a word's ends included.
        longest: Characters of the longest.
    """

    def __init__(self, width: int = 1024, shortest: int = 2, longest: int = 4) -> None:
        self._width, self.shortest, self.longest = width, shortest, longest

    @cached_property
    def _vectorizer(self) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer  # takes as long to import as half of torch

        sizes = self.shortest, self.longest
        return HashingVectorizer(
            analyzer="char_wb", ngram_range=sizes, n_features=self.width, norm=None, dtype=np.float32
        )

    @property
    def width(self) -> int:
        """Columns that the n-grams are hashed into."""
        return self._width

    @property
    def fingerprint(self) -> str:
        """The options, and scikit-learn's version, whose hash it is."""
        return f"characters:{self.width}:{self.shortest}-{self.longest}:sklearn-{version('scikit-learn')}"

    def encode_sparse(self, texts: Sequence[str]) -> sp.csr_matrix:
        """Features [len(texts), width]: sign · (1 + ln|count|) in each column that has a count."""
        counts: sp.csr_matrix = self._vectorizer.transform(texts)
        counts.eliminate_zeros()  # n-grams of one column and other signs
        counts.data = np.sign(counts.data) * (1 + np.log(np.abs(counts.data)))
        return counts
