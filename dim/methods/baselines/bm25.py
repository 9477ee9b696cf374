"""BM25 over the entities' names and texts."""

from __future__ import annotations

import bm25s
import numpy as np
import scipy.sparse as sp
from torch import Tensor

from dim.core.templates import CONTEXT_FIELDS, check_template
from dim.methods.baselines.base import Baseline
from dim.search.sparse import SparseKB, SparseProducts
from dim.training.datamodule import LinkingData


class BM25(Baseline):
    """BM25 (Lucene's variant, by `bm25s`): a document is an entity's name and text, a query is built from the mention.

    Words are lower-cased runs of two letters or digits or more; English stop words are left out.

    Args:
        query: Of a mention; `{mention}` and `{context}` are filled in. By default the name counts three times (best of
            three on tune of WikiMEL and RichpediaMEL).
        k1: How fast repeated words stop to count.
        b: How much a long text counts less, 0 to 1.
        seed: Of shuffled texts.
    """

    def __init__(
        self, query: str = "{mention} {mention} {mention} {context}", k1: float = 1.5, b: float = 0.75, seed: int = 0
    ) -> None:
        super().__init__(seed=seed)
        self.query, self.k1, self.b = query, k1, b

    def build(self, data: LinkingData) -> None:
        """Indexes names and texts as the run sees them (`leave_out`, `shuffle`)."""
        names = (
            [""] * len(data.texts) if "name" in self.datamodule.leave_out else data.dataset.entities["name"].tolist()
        )
        documents = [f"{name} {text or ''}" for name, text in zip(names, data.texts, strict=True)]
        index = bm25s.BM25(k1=self.k1, b=self.b)
        index.index(words(documents), show_progress=False)
        # bm25s keeps the score that each word gives each document, and adds up whole columns; here they are cut.
        made = (index.scores["data"], index.scores["indices"], index.scores["indptr"])
        weights = sp.csr_matrix(made, shape=(len(made[2]) - 1, len(documents)))
        self.kb = SparseKB(weights)
        check_template(self.query, CONTEXT_FIELDS, "a query")
        rows = zip(data.dataset.mentions["mention"], data.dataset.mentions["context"].fillna(""), strict=True)
        queries = words([self.query.format(mention=mention, context=context) for mention, context in rows])
        known = [index.get_tokens_ids(query) for query in queries]
        ends = np.cumsum([0, *map(len, known)])
        columns = np.fromiter((column for query in known for column in query), np.int64, ends[-1])
        ones = np.ones(len(columns), dtype=np.float32)
        self.queries = sp.csr_matrix((ones, columns, ends), shape=(len(queries), weights.shape[0]))

    def scores_of(self, rows: Tensor) -> SparseProducts:
        """BM25 scores, 0 where no word is shared."""
        return SparseProducts(self.queries[rows.cpu().numpy()], self.kb, rows.device)


def words(texts: list[str]) -> list[list[str]]:
    """The words of each text as BM25 counts them.

    Example:
        >>> words(["The Hill of 2011"])
        [['hill', '2011']]
    """
    found: list[list[str]] = bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)
    return found
