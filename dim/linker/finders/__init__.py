"""What finds the mentions of a text: a dictionary of the KB's names, or spaCy."""

from dim.linker.finders.contract import MentionFinder
from dim.linker.finders.dictionary import DictionaryFinder
from dim.linker.finders.spacy_finder import SpacyFinder

__all__ = ["DictionaryFinder", "MentionFinder", "SpacyFinder"]
