"""One Unicode form (NFC) for every text: `é` is one character, whether a file has it as one or as two."""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SHORT = 1000  #: Characters of a text that is composed whatever stands in it.
#: Marks after a letter that are put into order together: it takes the square of their number. Languages have a few.
MOST_MARKS = 64
LAST_MARK = 0x1FFFF  #: Beyond it, no character is one.


def one_form(text: str) -> str:
    r"""The text with composed characters (NFC); a text that has them already is returned as it is.

    macOS decomposes file names, Vietnamese and Korean keyboards decompose names; compared letter by letter they are
    other strings.

    Example:
        >>> one_form("Cafe\u0301") == "Caf\u00e9"
        True
    """
    if text.isascii():
        return text
    if len(text) <= SHORT:
        return unicodedata.normalize("NFC", text)
    ends = [0, *_cuts(text), len(text)]
    return "".join(unicodedata.normalize("NFC", text[start:end]) for start, end in pairwise(ends))


def one_form_span(text: str, start: int, end: int) -> tuple[str, int, int]:
    r"""The text in its one form, and where the characters from `start` to before `end` stand in it.

    Characters become one or several, so that as many as before need not be in their places; part of one is all of it.

    Example:
        >>> one_form_span("e\u0301, Ana\u0308", 4, 8)
        ('é, Anä', 3, 6)
    """
    composed = one_form(text)
    if composed == text:
        return composed, start, end
    last = len(one_form(text[:end]))
    return composed, min(len(one_form(text[:start])), last - 1), last


def _cuts(text: str) -> list[int]:
    """Places in a text where a run of marks has become long."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    letters = np.flatnonzero(~_marks()[np.minimum(codes, LAST_MARK)])
    borders = np.concatenate([[-1], letters, [len(text)]])
    long = np.flatnonzero(np.diff(borders) > MOST_MARKS)
    return [cut for run in long for cut in range(borders[run] + MOST_MARKS, borders[run + 1], MOST_MARKS)]


@cache
def _marks() -> NDArray[np.bool_]:
    """Whether each character is a mark, or begins as one where it is decomposed."""
    decomposed = (unicodedata.normalize("NFD", chr(place))[0] for place in range(LAST_MARK + 1))
    return np.fromiter((unicodedata.combining(first) > 0 for first in decomposed), np.bool_, LAST_MARK + 1)
