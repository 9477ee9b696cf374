"""Words in files, by their numbers and the other way round, without one of them in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dim.core.folder_files import read_array, write_arrays
from dim.core.mapped import dropped

Ids = NDArray[np.int64]


class KnownWords:
    """Words that are numbered from 0, each once, and never change.

    Args:
        letters: Of all words one after another, UTF-8.
        ends: [n], where each ends in `letters`.
        hashes: [n] uint64, of all words, ascending.
        numbers: [n], of the word of each hash.

    Raises:
        ValueError: They do not fit each other.
    """

    def __init__(self, letters: NDArray[np.uint8], ends: Ids, hashes: NDArray[np.uint64], numbers: Ids) -> None:
        self._text, self._ends, self._hashes, self._numbers = letters.data, ends, hashes, numbers
        if not len(ends) == len(hashes) == len(numbers) or (ends[-1:] != len(letters)).any():
            raise ValueError("words of lengths that do not fit")
        if (np.diff(ends, prepend=0) < 0).any() or (hashes[1:] < hashes[:-1]).any():
            raise ValueError("words in another order")
        if numbers.min(initial=0) < 0 or numbers.max(initial=-1) >= len(ends):
            raise ValueError("words that are not there")

    def __len__(self) -> int:
        return len(self._ends)

    def word(self, number: int) -> str:
        """The word of a number."""
        start = self._ends.item(number - 1) if number else 0
        return bytes(self._text[start : self._ends.item(number)]).decode("utf-8", "replace")

    def find(self, words: Sequence[str]) -> list[int | None]:
        """The number of each word; None where it is not known."""
        if not words or not len(self):
            return [None] * len(words)
        wanted = hashes_of(words)
        firsts = np.searchsorted(self._hashes, wanted).tolist()
        return [
            self._of_hash(word, each, first) for word, each, first in zip(words, wanted.tolist(), firsts, strict=True)
        ]

    def _of_hash(self, word: str, wanted: int, place: int) -> int | None:
        while place < len(self._hashes) and self._hashes.item(place) == wanted:
            if self.word(found := self._numbers.item(place)) == word:
                return found
            place += 1
        return None

    @classmethod
    def load(cls, folder: Path, name: str, what: str, remedy: str) -> KnownWords:
        """Those that `write_words` wrote under a name.

        Raises:
            DataError: There are none.
            ValueError: They do not fit each other.
        """
        parts = [
            read_array(folder / f"{name}_{part}.npy", what, remedy, kind, 1, "r")
            for part, kind in (("letters", "u"), ("ends", "i"), ("hashes", "u"), ("numbers", "i"))
        ]
        found = cls(*parts)
        for part in parts:
            dropped(part)
        return found


def write_words(words: Iterable[str], folder: Path, name: str) -> None:
    """Writes words, in the order of their numbers."""
    told = list(words)
    letters = [word.encode("utf-8", "replace") for word in told]
    hashes = hashes_of(told)
    order = np.argsort(hashes, kind="stable")
    parts: dict[str, NDArray[np.generic]] = {
        f"{name}_letters": np.frombuffer(b"".join(letters), np.uint8),
        f"{name}_ends": np.cumsum([len(each) for each in letters], dtype=np.int64),
        f"{name}_hashes": hashes[order],
        f"{name}_numbers": order.astype(np.int32),
    }
    write_arrays(folder, parts)


def hashes_of(words: Sequence[str]) -> NDArray[np.uint64]:
    """A hash [n] of each word, the same in every process."""
    digests = [blake2b(word.encode("utf-8", "replace"), digest_size=8).digest() for word in words]
    return np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64)
