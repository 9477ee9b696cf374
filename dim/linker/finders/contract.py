"""The contract of what finds mentions in a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class MentionFinder(Protocol):
    """Finds the mentions of a text; `dim.linker.finders` has some, and any object with this method is one."""

    def find(self, text: str) -> Sequence[tuple[int, int]]:
        """Where mentions stand, in their order: the place of the first character of each, and that after its last.

        What is blank, or longer than a mention may be (1,000 characters), is left out by who asks.

        Raises:
            DataError: The text cannot be read.
        """
