"""The part of a long text that stands around a mention."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_BLANK = re.compile(r"\s+")
_FIRST = 64  #: Characters beside a mention that are tried first; then twice as many, until they are too many.


@dataclass(frozen=True)
class Place:
    """A mention in its text.

    Attributes:
        text: The text.
        start: Place of the mention's first character.
        end: The place after its last.
    """

    text: str
    start: int
    end: int

    def between(self, left: int, right: int) -> str:
        """The text from `left` to before `right`, and of it what is cut between words."""
        text = self.text
        if left > 0 and not text[left - 1].isspace() and (blank := _BLANK.search(text, left, self.start)):
            left = blank.end()
        if right < len(text) and not text[right].isspace() and (blanks := list(_BLANK.finditer(text, self.end, right))):
            right = blanks[-1].start()
        return text[left:right].strip()

    def window(self, size: int) -> str:
        """The mention with `size` characters beside it at most, half of them on each side, cut between words.

        What one side lacks the other has.

        Example:
            >>> Place("long ago Ada met Ada in the old town", 17, 20).window(18)
            'Ada met Ada in the'
            >>> Place("Ada met Ada in the old town", 0, 3).window(18)
            'Ada met Ada in the'
        """
        before, behind = self.start, len(self.text) - self.end
        left = min(before, max(size // 2, size - behind))
        return self.between(self.start - left, self.end + min(behind, size - left))


def place_of(text: str, mention: str, start: int | None, end: int | None) -> Place | None:
    """Where a mention stands: by its offsets, else at the first place of its name; None where it stands nowhere."""
    if start is None or end is None:
        start = text.find(mention) if mention else -1
        end = start + len(mention)
    return None if start < 0 else Place(text, start, end)


def text_around(text: str, mention: str, start: int | None, end: int | None, reach: int) -> str:
    """What stands at most `reach` characters before and after a mention, cut between words.

    Where no offset says which is meant, the first place counts where the name stands; a text without it stays whole.

    Example:
        >>> text_around("long ago Ada met Ada in the old town", "Ada", 17, 20, 9)
        'Ada met Ada in the'
        >>> text_around("long ago Ada met Ada in the old town", "Ada", None, None, 9)
        'long ago Ada met Ada'
    """
    if (place := place_of(text, mention, start, end)) is None:
        return text
    return place.between(max(0, place.start - reach), min(len(text), place.end + reach))


def widest_windows(
    places: Sequence[Place], are_cut: Callable[[Sequence[int], Sequence[str]], Sequence[bool]]
) -> list[str]:
    """Of each mention the widest window that is read to its end; the mention alone where no wider one is.

    Args:
        places: The mentions.
        are_cut: Whether the ends of windows are not read: of which mentions, by their number, and the windows.
    """
    fits, cut = [0] * len(places), [len(place.text) + 1 for place in places]  # a whole text need not be tried
    tried = [_FIRST] * len(places)
    while rows := [row for row in range(len(places)) if cut[row] - fits[row] > 1]:
        sizes = [min(tried[row], cut[row] - 1) for row in rows]
        windows = [places[row].window(size) for row, size in zip(rows, sizes, strict=True)]
        for row, size, is_cut in zip(rows, sizes, are_cut(rows, windows), strict=True):
            (cut if is_cut else fits)[row] = size
            has_ceiling = cut[row] <= len(places[row].text)
            tried[row] = (fits[row] + cut[row]) // 2 if has_ceiling else 2 * size
    return [place.window(size) for place, size in zip(places, fits, strict=True)]
