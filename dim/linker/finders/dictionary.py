"""Mentions by a dictionary: where the names and aliases of a KB stand in a text."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dim.core.text_form import one_form
from dim.errors import ConfigError
from dim.linker.answer import LONGEST_MENTION
from dim.linker.finders.words import Words, first_word, is_of_syllables, words_of
from dim.linker.knowledge import Knowledge
from dim.reranker.words import split_name

BATCH = 2**14  #: Entities whose names are texts of Python's at once.
BLOCK = 2**12  #: Words of a text that are looked up together.
MOST_ADDED = 8  #: Times as many names has the large table as the small one, which added entities go to.

Hashes = NDArray[np.int64]


class DictionaryFinder:
    """Finds the names and aliases of a KB: whole words, from left to right the longest name that begins there.

    It needs no model, and follows the KB: an added entity is found, a removed one no more. A name counts as the KB has
    it, and without what stands in parentheses at its end. A name without a letter, such as a year, is not looked for.

    Each run of words of a text that may be a name is looked up among the hashes of all names: 16 bytes a name and
    about 12 an initial word, where an automaton of Aho and Corasick takes several hundred bytes a name, cannot be added
    to, and finds strings, of which those at words' bounds would have to be chosen afterwards.

    Args:
        knowledge: The KB.
        min_length: Characters of the shortest name that is looked for; of one whose characters are
            syllables or words (Chinese, Japanese, Korean) two are enough.
        ignore_case: Whether `ADA LOVELACE` is found as `Ada Lovelace`; then `us` and `it` are names, too, where the KB
            has `US` and `It`.

    Raises:
        ConfigError: `min_length` is below 1.
    """

    def __init__(self, knowledge: Knowledge, min_length: int = 3, ignore_case: bool = False) -> None:
        if min_length < 1:
            raise ConfigError("min_length of at least 1", str(min_length), "Raise it.")
        self.knowledge, self.min_length, self.ignore_case = knowledge, min_length, ignore_case
        self._tables: list[_Names] = []
        self._next_row = 0

    def find(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each name that stands in a text, in its order; none lies in another."""
        self._follow()
        words = words_of(text, self._form)
        found: list[tuple[int, int]] = []
        free = 0  # the first word that is in no name yet
        for first, last, key in self._hits(words):
            if first >= free and self._is_name(key):
                found.append((words.places[first][0], words.places[last][1]))
                free = last + 1
        return found

    def _form(self, text: str) -> str:
        return one_form(text).casefold() if self.ignore_case else one_form(text)

    def _follow(self) -> None:
        """Takes in what was added since the last text; what was removed is told apart when it is found."""
        if self._next_row == self.knowledge.next_row and self._tables:
            return
        table = self.knowledge.table()
        large = self._tables[0] if self._tables else None
        if large is not None:
            small = self._names_of(table.filter(pc.greater_equal(table["row"], large.next_row)))
        if large is None or MOST_ADDED * len(small.hashes) > len(large.hashes):
            self._tables = [self._names_of(table)]
        else:
            self._tables = [large, small]
        self._next_row = self.knowledge.next_row

    def _names_of(self, table: pa.Table) -> _Names:
        hashes, rows, first_words, lengths = (array("q") for _ in range(4))
        for batch in table.select(["row", "name", "aliases"]).to_batches(BATCH):
            for row, name, aliases in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                for key in self._keys(name, aliases):
                    hashes.append(hash(key))
                    rows.append(row)
                    first_words.append(hash(first_word(key)))
                    lengths.append(len(key))
        columns = [np.array(each, np.int64) for each in (hashes, rows, first_words, lengths)]
        return _Names.of(columns, self.knowledge.next_row)

    def _keys(self, name: str, aliases: Sequence[str]) -> Iterator[str]:
        """What is looked for of an entity, each once."""
        bare = (split_name(name)[0],) if ")" in name else ()
        keys = (" ".join(self._form(each).split()) for each in (name, *bare, *aliases))
        return (key for key in dict.fromkeys(keys) if self._counts(key))

    def _counts(self, key: str) -> bool:
        least = min(self.min_length, 2) if not key.isascii() and is_of_syllables(key) else self.min_length
        return least <= len(key) <= LONGEST_MENTION and any(map(str.isalpha, key))

    def _hits(self, words: Words) -> Iterator[tuple[int, int, str]]:
        """First word, last word and name of each run of words that has the hash of one, the longest first of a word."""
        flat, starts, ends, places = words.flat, words.starts, words.ends, words.places
        initial = np.array([hash(flat[start:end]) for start, end in zip(starts, ends, strict=True)], np.int64)
        reach = np.max([table.reach_of(initial) for table in self._tables], axis=0)
        for begin in range(0, len(starts), BLOCK):
            firsts, lasts, hashes = (array("q") for _ in range(3))
            for first in (np.flatnonzero(reach[begin : begin + BLOCK]) + begin).tolist():
                start, limit = starts[first], starts[first] + int(reach[first])
                for last in range(first, len(starts)):
                    if ends[last] > limit or places[last][1] - places[first][0] > LONGEST_MENTION:
                        break
                    firsts.append(first)
                    lasts.append(last)
                    hashes.append(hash(flat[start : ends[last]]))
            asked = np.array(hashes, np.int64)
            hits = np.flatnonzero(np.any([table.has(asked) for table in self._tables], axis=0)).tolist()
            for place in sorted(hits, key=lambda place: (firsts[place], -lasts[place])):
                first, last = firsts[place], lasts[place]
                yield first, last, flat[starts[first] : ends[last]]

    def _is_name(self, key: str) -> bool:
        """Whether an entity that is there bears that name: hashes may be equal by chance, and entities go."""
        for table in self._tables:
            for row in table.rows_of(hash(key)).tolist():
                entity = self.knowledge.entities.get(row)
                if entity is not None and key in self._keys(entity.name, entity.aliases):
                    return True
        return False


@dataclass(frozen=True)
class _Names:
    """The names of some entities.

    Attributes:
        hashes: [n] ascending, of the names.
        rows: [n], whose they are.
        first_words: [m] ascending, the hashes of their first words.
        reach: [m], characters of the longest name that begins with each.
        next_row: The row after these entities.
    """

    hashes: Hashes
    rows: Hashes
    first_words: Hashes
    reach: Hashes
    next_row: int

    @classmethod
    def of(cls, columns: Sequence[Hashes], next_row: int) -> _Names:
        """Those of names [n] as they come: hashes, rows, hashes of first words, characters."""
        hashes, rows, first_words, lengths = columns
        order, by_word = np.argsort(hashes, kind="stable"), np.argsort(first_words, kind="stable")
        unique, begins = np.unique(first_words[by_word], return_index=True)
        reach = np.maximum.reduceat(lengths[by_word], begins) if len(begins) else lengths
        return cls(hashes[order], rows[order], unique, reach, next_row)

    def has(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Whether a name has each hash [k]."""
        return _places(self.hashes, hashes) >= 0

    def rows_of(self, name: int) -> Hashes:
        """The rows of the entities whose name has a hash."""
        return self.rows[slice(*np.searchsorted(self.hashes, [name, name + 1]))]

    def reach_of(self, words: Hashes) -> Hashes:
        """Characters [k] of the longest name that begins with each word, by their hashes; 0: none does."""
        places = _places(self.first_words, words)
        found = np.zeros(len(words), np.int64)
        found[places >= 0] = self.reach[places[places >= 0]]
        return found


def _places(known: Hashes, asked: Hashes) -> Hashes:
    """The first place [k] of each hash among known ones, ascending; -1 where it is none of them."""
    places = np.searchsorted(known, asked)
    is_there = places < len(known)
    is_there[is_there] = known[places[is_there]] == asked[is_there]
    return np.where(is_there, places, -1)
