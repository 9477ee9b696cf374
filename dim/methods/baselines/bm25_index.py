"""BM25 over the entities' names and texts."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from dim.core.templates import CONTEXT_FIELDS, check_template
from dim.methods.baselines.text_method import TextMethod
from dim.search.sparse import SparseKB, SparseProducts


class BM25Index(TextMethod):
    """What answers of `BM25`, whose options it takes."""

    def __init__(
        self, query: str = "{mention} {mention} {mention} {context}", k1: float = 1.5, b: float = 0.75, seed: int = 0
    ) -> None:
        super().__init__(seed=seed)
        self.query, self.k1, self.b = query, k1, b

    def check(self) -> None:
        """Raises ConfigError for a query that names other fields."""
        check_template(self.query, CONTEXT_FIELDS, "a query")

    def index_kb(
        self, names: Sequence[str], texts: Sequence[str | None], popularity: NDArray[np.float64], of: str
    ) -> None:
        """Indexes names and texts."""
        documents = [f"{name} {text or ''}" for name, text in zip(names, texts, strict=True)]
        found = words(documents)
        if not any(found):  # bm25s indexes no KB without a word
            self.index, self.num_words = None, 1
            self.kb = SparseKB(sp.csr_matrix(np.zeros((1, len(documents)), np.float32)))
            return
        self.index = bm25s.BM25(k1=self.k1, b=self.b)
        self.index.index(found, show_progress=False)
        # bm25s keeps the score that each word gives each document, and adds up whole columns; here they are cut.
        made = (self.index.scores["data"], self.index.scores["indices"], self.index.scores["indptr"])
        self.kb = SparseKB(sp.csr_matrix(made, shape=(len(made[2]) - 1, len(documents))))
        self.num_words = len(made[2]) - 1

    def scores_for(self, mentions: Sequence[str], contexts: Sequence[str], device: torch.device) -> SparseProducts:
        """BM25 scores, 0 where no word is shared."""
        asked = [self.query.format(mention=mention, context=c) for mention, c in zip(mentions, contexts, strict=True)]
        known = [[] if self.index is None else self.index.get_tokens_ids(query) for query in words(asked)]
        ends = np.cumsum([0, *map(len, known)])
        columns = np.fromiter((column for query in known for column in query), np.int64, ends[-1])
        ones = np.ones(len(columns), dtype=np.float32)
        return SparseProducts(sp.csr_matrix((ones, columns, ends), shape=(len(asked), self.num_words)), self.kb, device)


def words(texts: list[str]) -> list[list[str]]:
    """The words of each text as BM25 counts them.

    Example:
        >>> words(["The Hill of 2011"])
        [['hill', '2011']]
    """
    found: list[list[str]] = bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)
    return found
