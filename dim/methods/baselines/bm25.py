"""BM25 over the entities' names and texts, as a row of reports."""

from __future__ import annotations

from dim.methods.baselines.base import TextBaseline
from dim.methods.baselines.bm25_index import BM25Index


class BM25(BM25Index, TextBaseline):
    """BM25 (Lucene's variant, by `bm25s`): a document is an entity's name and text, a query is built from the mention.

    Words are lower-cased runs of two letters or digits or more; English stop words are left out.

    Args:
        query: Of a mention; `{mention}` and `{context}` are filled in. By default the name counts three times (best of
            three on tune of WikiMEL and RichpediaMEL).
        k1: How fast repeated words stop to count.
        b: How much a long text counts less, 0 to 1.
        seed: Of shuffled texts.
    """
