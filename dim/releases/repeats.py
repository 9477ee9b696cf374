"""Mention rows that stand more than once in a release."""

from __future__ import annotations

from collections import Counter


class Repeats:
    """Counts mention rows that stand more than once; they are kept, because published numbers count them too."""

    def __init__(self) -> None:
        self._splits_of: dict[tuple[str, ...], set[str]] = {}
        self._num: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, split: str, *row: str) -> None:
        """Takes in one row: all that tells it from others but spaces, best what a reader knows it by first."""
        splits = self._splits_of.setdefault(tuple(" ".join(part.split()) for part in row), set())
        if not splits:
            splits.add(split)
            return
        kind = "twice in one split" if split in splits else "in two splits"
        splits.add(split)
        self._num[kind] += 1
        self._first.setdefault(kind, f"'{row[0]}' in {split}")

    def notes(self) -> list[str]:
        """A sentence for each kind of repetition that was met.

        Example:
            >>> repeats = Repeats()
            >>> for split in ("train", "dev"):
            ...     repeats.add(split, "Turing", "Turing slept", "Q7251")
            >>> repeats.notes()
            ["mention rows that stand in two splits are kept: 1, first 'Turing' in dev; dim audit names them"]
        """
        return [
            f"mention rows that stand {kind} are kept: {self._num[kind]:,}, first {first}; dim audit names them"
            for kind, first in self._first.items()
        ]
