"""Words of names, texts and contexts as numbers, so that what two strings share is found by arrays."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dim.reranker.columns import Column
from dim.reranker.known_words import KnownWords
from dim.search.jagged import spans

Ids = NDArray[np.int64]
Word = TypeVar("Word")  # its number, or itself

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
PARENTHESIS = re.compile(r"\s*\(([^()]*)\)\s*$")
YEAR = re.compile(r"(?<!\d)(1[0-9]{3}|20[0-9]{2}|0[0-9]{3}|-[0-9]{3,4}(?=[.,\s]|$))(?!\d)")
BEFORE = re.compile(r"([^\W\d_a-z][\w'’-]*)\.? $")
AFTER = re.compile(r" ([^\W\d_a-z][\w'’-]*)")
STEM = 5  #: Letters that are compared where words stand for their stem: footballer, football; actress stays apart.


def fold(text: str) -> str:
    """The text without case and accents.

    Example:
        >>> fold("François")
        'francois'
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def fold_name(name: str) -> str:
    r"""The name without case and accents, and with single blanks: a text may break its lines in one, or space it out.

    Example:
        >>> fold_name(" Lady\nGaga")
        'lady gaga'
    """
    return " ".join(fold(name).split())


def split_words(text: str) -> list[str]:
    """The words of a text, folded, in their order; possessive endings are cut.

    Example:
        >>> split_words("Gretzky's wife, in 2013")
        ['gretzky', 'wife', 'in', '2013']
    """
    return [word[:-2] if word.endswith(("'s", "’s")) else word for word in WORD.findall(fold(text))]


def split_name(name: str) -> tuple[str, str]:
    """A name and what stands in parentheses at its end, which tells it from others of the name.

    Example:
        >>> split_name("Fred (footballer, born 1979)")
        ('Fred', 'footballer, born 1979')
    """
    found = PARENTHESIS.search(name)
    return (name, "") if found is None or found.start() == 0 else (name[: found.start()], found[1])


def find_years(text: str) -> list[int]:
    """The years from 1000 to 2099 that a text names, and earlier ones as databases write them, in its order.

    Example:
        >>> find_years("Birth: 1732-02-22. Death: 1799."), find_years("Birth: -355. Death: 0208.")
        ([1732, 1799], [-355, 208])
    """
    return [int(year) for year in YEAR.findall(text)]


def neighbours(text: str, mention: str) -> tuple[set[str], set[str]]:
    """The words that stand directly before and after a mention in a text, folded; initials lose their point.

    Only words with a capital letter count, with nothing but a blank between: they may be of the same name.

    Example:
        >>> neighbours("Janet & Wayne Gretzky in December", "Gretzky")
        ({'wayne'}, set())
    """
    mention = mention.strip()
    if mention not in text:  # a line may end within it
        text, mention = (" ".join(each.split()) for each in (text, mention))
    if not mention:
        return set(), set()
    before, after = set(), set()
    start = text.find(mention)
    while start >= 0:
        if (found := BEFORE.search(text[max(0, start - 40) : start])) is not None:
            before.update(split_words(found[1]))
        if (found := AFTER.match(text[start + len(mention) : start + len(mention) + 40])) is not None:
            after.update(split_words(found[1]))
        start = text.find(mention, start + 1)
    return before, after


class Vocabulary:
    """Words as numbers from 0, in the order in which they were met.

    Args:
        known: The first of them, in files.
    """

    def __init__(self, known: KnownWords | None = None) -> None:
        self._known = known
        self._first = 0 if known is None else len(known)
        self._ids: dict[str, int] = {}
        self._words: list[str] = []

    def __len__(self) -> int:
        return self._first + len(self._words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words(range(len(self))))

    def add(self, words: Iterable[str]) -> list[int]:
        """The numbers of words; new words get the next ones."""
        told = list(words)
        return [self._add(word, found) for word, found in zip(told, self._find(told), strict=True)]

    def _add(self, word: str, known: int | None) -> int:
        # Entities that come together share words: of those in files, too, the number is kept.
        found = self._ids.setdefault(word, len(self) if known is None else known)
        if found == len(self):
            self._words.append(word)
        return found

    def _find(self, words: Sequence[str]) -> list[int | None]:
        found = [self._ids.get(word) for word in words]
        if self._known is not None and (places := [place for place, number in enumerate(found) if number is None]):
            for place, number in zip(places, self._known.find([words[place] for place in places]), strict=True):
                found[place] = number
        return found

    def find(self, words: Iterable[str]) -> list[int]:
        """The numbers of words that are known; the others are left out."""
        return [found for found in self._find(list(words)) if found is not None]

    def words(self, numbers: Iterable[int]) -> list[str]:
        """The words of numbers."""
        known, first = self._known, self._first
        return [
            known.word(number) if known is not None and number < first else self._words[number - first]
            for number in numbers
        ]


class WordLists:
    """Lists of word numbers, one a KB row, in flat arrays that grow at their end.

    Attributes:
        sizes: How many words each row has.
    """

    def __init__(self, lists: Sequence[Sequence[int]] = ()) -> None:
        self._ids, self._starts, self.sizes = (
            Column[np.int32](np.int32),
            Column[np.int64](np.int64),
            Column[np.int32](np.int32),
        )
        self.add(lists)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def columns(self) -> dict[str, Column[Any]]:
        """What it is made of, by name."""
        return {"ids": self._ids, "starts": self._starts, "sizes": self.sizes}

    def check(self, num_words: int) -> None:
        """Raises ValueError where it is not made of lists of words below a number."""
        ids, starts, sizes = (column.values for column in self.columns.values())
        if len(starts) != len(sizes) or sizes.min(initial=0) < 0 or starts.min(initial=0) < 0:
            raise ValueError("lists of words that do not fit")
        if (starts + sizes).max(initial=0) > len(ids) or ids.min(initial=0) < 0 or ids.max(initial=-1) >= num_words:
            raise ValueError("words that are not there")

    def add(self, lists: Sequence[Sequence[int]]) -> Ids:
        """Appends rows, one list each; returns their words, one after another."""
        sizes = np.fromiter(map(len, lists), np.int64, len(lists))
        ids = np.fromiter(chain.from_iterable(lists), np.int32, int(sizes.sum()))
        self._starts.append(len(self._ids) + np.cumsum(sizes) - sizes)
        self.sizes.append(sizes.astype(np.int32))
        self._ids.append(ids)
        return ids.astype(np.int64)

    def replace(self, rows: Ids, words: Sequence[int] = ()) -> None:
        """Gives each of some rows the same words in the place of its own, which stay in memory."""
        self._starts[rows], self.sizes[rows] = len(self._ids), len(words)
        self._ids.append(np.array(words, np.int32))

    def of(self, rows: Ids) -> tuple[Ids, Ids]:
        """The words of rows [c], one after another, and the place in `rows` that each belongs to.

        Example:
            >>> WordLists([[3], [], [1, 2]]).of(np.array([2, 0]))
            (array([1, 2, 3]), array([0, 0, 1]))
        """
        sizes = self.sizes[rows]
        owner = np.repeat(np.arange(len(rows)), sizes)
        return self._ids[spans(self._starts[rows], sizes)].astype(np.int64), owner

    def parted(self, rows: Ids, words: list[Word]) -> list[list[Word]]:
        """The words of rows [c] that `of` gave, or what stands for each of them: a list a row."""
        ends = np.cumsum(self.sizes[rows]).tolist()
        return [words[start:end] for start, end in pairwise([0, *ends])]
