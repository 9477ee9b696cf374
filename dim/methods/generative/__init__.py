"""GEMEL (arXiv 2306.12725): a frozen language model that writes the entity's name under a prefix tree."""

from dim.methods.generative.examples import NoExamples, RandomExamples, SimilarExamples
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.module import GEMEL

__all__ = ["GEMEL", "LanguageModel", "NoExamples", "RandomExamples", "SimilarExamples"]
