"""Methods that are not trained: the bars that a trained model has to clear, each a config and a row."""

from dim.methods.baselines.bm25 import BM25
from dim.methods.baselines.frozen import FrozenVectors
from dim.methods.baselines.names import NamesAndPopularity, NamesOnly

__all__ = ["BM25", "FrozenVectors", "NamesAndPopularity", "NamesOnly"]
