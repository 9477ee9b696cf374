"""Methods that are not trained: the bars that a trained model has to clear, each a config and a row."""

from dim.core.lazy import lazily

_HOMES = {
    "BM25": "dim.methods.baselines.bm25",
    "FrozenVectors": "dim.methods.baselines.frozen",
    "NamesAndPopularity": "dim.methods.baselines.names",
    "NamesOnly": "dim.methods.baselines.names",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
