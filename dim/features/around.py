"""The part of a long text that stands around a mention."""

from __future__ import annotations

import re

_BLANK = re.compile(r"\s+")


def place_of(text: str, mention: str, start: int | None, end: int | None) -> tuple[int, int] | None:
    """The first character of a mention and one past its last: by its offsets, else the first place of its name."""
    if start is None or end is None:
        start = text.find(mention) if mention else -1
        end = start + len(mention)
    return None if start < 0 else (start, end)


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
    start, end = place
    left, right = max(0, start - reach), min(len(text), end + reach)
    if left > 0 and not text[left - 1].isspace() and (blank := _BLANK.search(text, left, start)):
        left = blank.end()
    if right < len(text) and not text[right].isspace() and (blanks := list(_BLANK.finditer(text, end, right))):
        right = blanks[-1].start()
    return text[left:right].strip()
