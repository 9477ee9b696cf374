"""Rows of a user's table that cannot be read: all of them are met before anything is said."""

from __future__ import annotations

from dim.core.excerpts import few
from dim.display.counts import count_of
from dim.errors import DataError
from dim.releases.checks import MAX_UNKNOWN

REASON = "row that cannot be read"
NUM_PLACES = 5


class BrokenRows:
    """Collects what is wrong with single rows of one table.

    Args:
        allowed: Whether any number of them may be left out; else at most 1% of the rows.
    """

    def __init__(self, allowed: bool) -> None:
        self.allowed = allowed
        self.num_rows = 0  #: Broken or not.
        self._met: list[tuple[str, DataError]] = []

    def add(self, where: str, error: DataError) -> None:
        """Takes in one of them and its place."""
        self._met.append((where, error))

    def check(self, table: str, notes: list[str]) -> None:
        """Notes what is left out of a table.

        Raises:
            DataError: It is too much: what is wrong with the first row, and where the others are.
        """
        if not self._met:
            return
        (where, first), further = self._met[0], [place for place, _ in self._met[1:]]
        if self.allowed or len(self._met) <= MAX_UNKNOWN * self.num_rows:
            said = f"expected {first.expected}, found {first.found}"
            count = f"{len(self._met):,} of {self.num_rows:,} rows of {table}"
            notes.append(f"{count} cannot be read and were left out; first, {where}: {said}")
            return
        count = count_of(len(further), "further row")
        more = f"; {count} cannot be read: {few(further, NUM_PLACES)}" if further else ""
        remedy = f"{first.remedy} Or leave such rows out: --allow_missing=true."
        raise DataError(first.expected, f"{first.found}{more}", remedy)
