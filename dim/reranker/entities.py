"""What the ranker reads of a KB: names in words, texts in words, years, namesakes, popularity; a column each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dim.core.arrays import Doubles, Rows
from dim.reranker.columns import Column
from dim.reranker.words import STEM, Vocabulary, WordLists, find_years, fold_name, split_name, split_words

BLOCK = 2**16  #: Rows whose words are Python numbers at once.
NO_WORD = -1  #: In the place of the number of a word.


class EntityFacts:
    """The facts of each entity that do not depend on a mention.

    They are worked out for what is added alone. What is counted over the KB (namesakes, rarity of words) is counted on,
    so that the facts are at any time those of the KB as it is.

    Args:
        names: One a KB row.
        aliases: Further names of each.
        texts: The text of each; None where it has none.
        popularity: [num_entities], from outside the mentions; NaN where it is not known. None: nowhere.

    Attributes:
        vocabulary: The words of names and texts. Those of removed entities stay, and count nothing.
        stems: How the words of texts begin.
        strings: Names and aliases, folded.
        own_strings: Of each row, in `strings`, each once.
        name_words: Of each row's name without what stands in parentheses, in `vocabulary`, in order.
        hint_words: Of what stands in parentheses.
        text_words: Of the text, each once.
        text_stems: Of the text, in `stems`, each once.
        first_words: The first word of each name, in `vocabulary`; `NO_WORD` where it has none.
        last_words: As `first_words`, the last one.
        first_years: The first year of each text and hint, NaN where there is none.
        last_years: The last year of several; else NaN.
        popularity: As it was given.
        genders: Whether each text says that the entity is a man (1), a woman (-1), or neither (0).
        is_there: Whether each row has an entity, and is not one that was emptied.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        aliases: Sequence[Sequence[str]] = (),
        texts: Sequence[str | None] = (),
        popularity: ArrayLike | None = None,
    ) -> None:
        self.vocabulary, self.stems, self.strings = Vocabulary(), Vocabulary(), Vocabulary()
        self.own_strings, self.name_words, self.hint_words = WordLists(), WordLists(), WordLists()
        self.text_words, self.text_stems = WordLists(), WordLists()
        self._short_names, self.first_words, self.last_words = (Column[np.int64](np.int32) for _ in range(3))
        self.first_years, self.last_years, self.popularity = (Column[np.float64](np.float64) for _ in range(3))
        self.genders = Column[np.int8](np.int8)
        self.is_there = Column[np.bool_](np.bool_)
        # How many rows have each word (in its name, its hint and its text each), stem, string, and last word.
        self._with_word, self._with_stem, self._bearers, self._surnames = (Column[np.int64](np.int64) for _ in range(4))
        self._weights: dict[str, Doubles] = {}
        self.add(names, aliases, texts, popularity)

    def add(
        self,
        names: Sequence[str],
        aliases: Sequence[Sequence[str]],
        texts: Sequence[str | None],
        popularity: ArrayLike | None = None,
    ) -> None:
        """Appends rows; as of the class."""
        known = np.full(len(names), np.nan) if popularity is None else np.asarray(popularity, np.float64)
        for start in range(0, len(names), BLOCK):
            part = slice(start, start + BLOCK)
            self._append(names[part], aliases[part], texts[part], known[part])
        self._weights.clear()

    def _append(
        self, names: Sequence[str], aliases: Sequence[Sequence[str]], texts: Sequence[str | None], popularity: Doubles
    ) -> None:
        parts = [split_name(name) for name in names]
        strings = [
            dict.fromkeys([fold_name(short), fold_name(name), *map(fold_name, more)])
            for name, (short, _), more in zip(names, parts, aliases, strict=True)
        ]
        own = [self.strings.add(each) for each in strings]
        self._short_names.append(np.array([ids[0] for ids in own], np.int64))
        words = [self.vocabulary.add(split_words(short)) for short, _ in parts]
        self.first_words.append(np.array([ids[0] if ids else NO_WORD for ids in words], np.int64))
        self.last_words.append(last := np.array([ids[-1] if ids else NO_WORD for ids in words], np.int64))
        hints = [self.vocabulary.add(split_words(hint)) for _, hint in parts]
        text_words, stems, genders = [], [], []
        for text in texts:
            said = sorted(set(split_words(text or "")))
            text_words.append(self.vocabulary.add(said))
            stems.append(self.stems.add(sorted({word[:STEM] for word in said})))
            genders.append(gender_of(said))
        self.genders.append(np.array(genders, np.int8))
        for lists, new, counts in (
            (self.own_strings, own, self._bearers),
            (self.name_words, words, self._with_word),
            (self.hint_words, hints, self._with_word),
            (self.text_words, text_words, self._with_word),
            (self.text_stems, stems, self._with_stem),
        ):
            count(counts, lists.add(new))
        count(self._surnames, last + 1)
        years = [find_years(" ".join(filter(None, (text, hint)))) for text, (_, hint) in zip(texts, parts, strict=True)]
        self.first_years.append(np.array([min(found) if found else np.nan for found in years], np.float64))
        self.last_years.append(np.array([max(found) if len(found) > 1 else np.nan for found in years], np.float64))
        self.popularity.append(popularity)
        self.is_there.append(np.ones(len(names), np.bool_))

    def remove(self, rows: Rows) -> None:
        """Empties rows [m], which count for nothing from now on."""
        if not len(rows):
            return
        for lists, counts in (
            (self.own_strings, self._bearers),
            (self.name_words, self._with_word),
            (self.hint_words, self._with_word),
            (self.text_words, self._with_word),
            (self.text_stems, self._with_stem),
        ):
            count(counts, lists.of(rows)[0], -1)
            lists.replace(rows)
        count(self._surnames, self.last_words[rows] + 1, -1)
        self._short_names[rows] = self.strings.add([""])
        self._bearers.lengthen(len(self.strings))
        self.first_words[rows] = self.last_words[rows] = NO_WORD
        self.first_years[rows] = self.last_years[rows] = self.popularity[rows] = np.nan
        self.genders[rows] = 0
        self.is_there[rows] = False
        self._weights.clear()

    @property
    def lists(self) -> dict[str, tuple[WordLists, Vocabulary]]:
        """The words of rows, by name, and what numbers them."""
        return {
            "own_strings": (self.own_strings, self.strings),
            "name_words": (self.name_words, self.vocabulary),
            "hint_words": (self.hint_words, self.vocabulary),
            "text_words": (self.text_words, self.vocabulary),
            "text_stems": (self.text_stems, self.stems),
        }

    @property
    def row_columns(self) -> dict[str, Column[Any]]:
        """What is known of each row, by name."""
        return {
            "short_names": self._short_names,
            "first_words": self.first_words,
            "last_words": self.last_words,
            "first_years": self.first_years,
            "last_years": self.last_years,
            "popularity": self.popularity,
            "genders": self.genders,
        }

    @property
    def counts(self) -> dict[str, Column[np.int64]]:
        """How many rows have each word, stem, string and last word, by name."""
        return {
            "with_word": self._with_word,
            "with_stem": self._with_stem,
            "bearers": self._bearers,
            "surnames": self._surnames,
        }

    @property
    def size(self) -> int:
        """How many rows there are, emptied ones among them."""
        return len(self.name_words)

    @property
    def rows(self) -> Rows:
        """The rows [n] that have an entity, ascending."""
        return np.flatnonzero(self.is_there.values)

    @property
    def word_weights(self) -> Doubles:
        """The rarity of each word of `vocabulary`."""
        return self._weight("words", self._with_word, len(self.vocabulary))

    @property
    def stem_weights(self) -> Doubles:
        """The rarity of each of `stems`."""
        return self._weight("stems", self._with_stem, len(self.stems))

    def _weight(self, name: str, counts: Column[np.int64], size: int) -> Doubles:
        if name not in self._weights:
            counts.lengthen(size)
            self._weights[name] = rarity(counts.values, len(self.rows))
        return self._weights[name]

    def short_names(self, rows: Rows) -> list[str]:
        """The names of entities [c] without what stands in parentheses, folded."""
        return self.strings.words(self._short_names[rows].tolist())

    def of_surname(self, row: int) -> Rows:
        """The rows of all entities whose names end with the same word as an entity's, it among them."""
        return np.flatnonzero((self.last_words.values == self.last_words[row]) & self.is_there.values)

    def bears(self, string: str, rows: Rows) -> NDArray[np.bool_]:
        """Whether a folded string is a name or an alias of entities [c]."""
        ids, owner = self.own_strings.of(rows)
        found = self.strings.find([string])
        return np.bincount(owner[ids == found[0]] if found else owner[:0], minlength=len(rows)) > 0

    def num_bearers(self, string: str) -> int:
        """How many entities bear a folded string as name or alias."""
        found = self.strings.find([string])
        return int(self._bearers[found[0]]) if found else 0

    def namesakes(self, rows: Rows) -> Rows:
        """How many entities bear the names without parentheses of entities [c]."""
        found: Rows = self._bearers[self._short_names[rows]]
        return found

    def surname_bearers(self, rows: Rows) -> Rows:
        """How many entities' names end with the same word as those of entities [c]."""
        found: Rows = self._surnames[self.last_words[rows] + 1]
        return found


def count(counts: Column[np.int64], numbers: Rows, times: int = 1) -> None:
    """Adds to the counts of numbers, each as often as it is there."""
    counts.lengthen(int(numbers.max(initial=-1)) + 1)
    own, found = np.unique(numbers, return_counts=True)
    counts[own] += times * found


def gender_of(words: Sequence[str]) -> int:
    """1 where the words of a text name a man, -1 where a woman, else 0.

    Example:
        >>> gender_of(["male", "singer"]), gender_of(["man", "woman"]), gender_of(["band"])
        (1, -1, 0)
    """
    if "female" in words or "woman" in words:
        return -1
    return int("male" in words or "man" in words)


def rarity(counts: Rows, num_rows: int) -> Doubles:
    """How much a shared word tells [size]: its inverse document frequency, at least 0; 0 for one that no row has.

    Example:
        >>> rarity(np.array([1, 9, 0]), 9).round(2).tolist()
        [1.61, 0.0, 0.0]
    """
    weights: Doubles = np.log((1 + num_rows) / (1 + counts)).clip(min=0)
    weights[counts == 0] = 0
    return weights
