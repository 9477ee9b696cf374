"""What the ranker reads of a KB, worked out once: names in words, texts in words, years, namesakes, popularity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dim.reranker.words import STEM, Vocabulary, WordLists, find_years, fold, split_name, split_words

Floats = NDArray[np.float64]


class EntityFacts:
    """The facts of each entity that do not depend on a mention.

    Args:
        names: One a KB row.
        aliases: Further names of each.
        texts: The text of each; None where it has none.
        popularity: [num_entities], from outside the mentions; NaN where it is not known. None: nowhere.
    """

    def __init__(
        self,
        names: Sequence[str],
        aliases: Sequence[Sequence[str]],
        texts: Sequence[str | None],
        popularity: Floats | None = None,
    ) -> None:
        self.size = len(names)
        parts = [split_name(name) for name in names]
        self.short_names = [fold(short) for short, _ in parts]
        self.strings = [
            {fold(name), fold(short), *map(fold, more)}
            for name, (short, _), more in zip(names, parts, aliases, strict=True)
        ]
        self.vocabulary, self.stems = Vocabulary(), Vocabulary()
        name_words = [split_words(short) for short, _ in parts]
        self._words_of_names = name_words
        self.name_words = WordLists([self.vocabulary.add(words) for words in name_words])
        self.hint_words = WordLists([self.vocabulary.add(split_words(hint)) for _, hint in parts])
        self.has_hint = (np.diff(self.hint_words.starts) > 0).astype(np.float64)
        text_words = [sorted(set(split_words(text or ""))) for text in texts]
        self.text_words = WordLists([self.vocabulary.add(words) for words in text_words])
        stems = [sorted({word[:STEM] for word in words}) for words in text_words]
        self.text_stems = WordLists([self.stems.add(words) for words in stems])
        self.word_weights = rarity(self.text_words, self.hint_words, self.name_words, size=len(self.vocabulary))
        self.stem_weights = rarity(self.text_stems, size=len(self.stems))
        self.initials = ["".join(word[0] for word in words) for words in name_words]
        self.num_name_words = np.array([len(words) for words in name_words])
        self.first_words = np.array([words[0] if words else "" for words in name_words], dtype=object)
        self.last_words = np.array([words[-1] if words else "" for words in name_words], dtype=object)
        self.text_sizes = np.array([len(words) for words in text_words], dtype=np.float64)
        bearers = Counter(string for strings in self.strings for string in strings)
        self.namesakes = np.array([bearers[short] for short in self.short_names], dtype=np.float64)
        surnames = Counter(self.last_words.tolist())
        self.surname_bearers = np.array([surnames[word] for word in self.last_words], dtype=np.float64)
        years = [find_years(" ".join(filter(None, (text, hint)))) for text, (_, hint) in zip(texts, parts, strict=True)]
        self.first_years = np.array([min(found) if found else np.nan for found in years])
        self.last_years = np.array([max(found) if len(found) > 1 else np.nan for found in years])
        self.popularity = np.full(self.size, np.nan) if popularity is None else np.asarray(popularity, dtype=np.float64)
        self.bearers = bearers

    def words_of_name(self, row: int) -> list[str]:
        """The words of an entity's name without parentheses, in order."""
        return self._words_of_names[row]

    def of_surname(self, row: int) -> NDArray[np.int64]:
        """The rows of all entities whose names end with the same word as an entity's, it among them."""
        found: NDArray[np.int64] = np.flatnonzero(self.last_words == self.last_words[row])
        return found


def rarity(*lists: WordLists, size: int) -> Floats:
    """How much a shared word tells [size]: its inverse document frequency over the rows of the lists, at least 0."""
    counts = sum((np.bincount(found.ids, minlength=size) for found in lists), np.zeros(size, dtype=np.int64))
    num_rows = max((len(found.starts) - 1 for found in lists), default=0)
    weights: Floats = np.log((1 + num_rows) / (1 + counts)).clip(min=0)
    return weights
