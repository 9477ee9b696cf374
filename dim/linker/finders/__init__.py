"""What finds the mentions of a text: a dictionary of the KB's names, spaCy, or GLiNER."""

from dim.linker.finders.contract import MentionFinder
from dim.linker.finders.dictionary import DictionaryFinder
from dim.linker.finders.gliner_finder import GlinerFinder
from dim.linker.finders.spacy_finder import SpacyFinder

__all__ = ["DictionaryFinder", "GlinerFinder", "MentionFinder", "SpacyFinder"]
