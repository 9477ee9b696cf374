"""GEMEL (arXiv 2306.12725): a frozen language model that writes the entity's name under a prefix tree."""

from dim.core.lazy import lazily

_HOMES = {
    "GEMEL": "dim.methods.generative.module",
    "LanguageModel": "dim.methods.generative.language_model",
    "NoExamples": "dim.methods.generative.examples",
    "Popularity": "dim.training.tie_break",
    "RandomExamples": "dim.methods.generative.examples",
    "SimilarExamples": "dim.methods.generative.examples",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
