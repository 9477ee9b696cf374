"""A text as names are looked for in it: its words, in one form, with single blanks between."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from dim.core.text_form import LAST_MARK, one_form

#: Scripts without blanks between words: Thai, Lao, Burmese, Khmer, Hiragana, Han. Katakana is written in whole words.
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_UNSPACED = rf"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u3096{_HAN}"
_SYLLABLES = rf"\u3041-\u30ff\uac00-\ud7a3{_HAN}"  #: Of which a name needs few.
_JOINERS = "\u200c\u200d"  #: They stand within words.


@dataclass(frozen=True)
class Words:
    """The words of a text, each a run of letters and digits, one character of a script without blanks, or a sign.

    Attributes:
        flat: The text with each word in the form of a name, and one blank where blanks stood.
        starts: [n], where each word begins in `flat`.
        ends: [n], where it ends there.
        places: [n], its start and end in the text itself.
    """

    flat: str
    starts: list[int]
    ends: list[int]
    places: list[tuple[int, int]]


def words_of(text: str, form: Callable[[str], str] = one_form) -> Words:
    """The words of a text.

    Args:
        text: The text.
        form: Of a word, such as one without case; it changes no word's bounds.

    Example:
        >>> words_of("Ada's  猫").flat, words_of("Ada's  猫").places
        ("Ada's 猫", [(0, 3), (3, 4), (4, 5), (7, 8)])
    """
    parts: list[str] = []
    starts, ends, places = [], [], []
    length = last = 0
    for found in _word().finditer(text):
        place = found.span()
        if parts and place[0] > last:
            parts.append(" ")
            length += 1
        word = form(found[0])
        parts.append(word)
        starts.append(length)
        length += len(word)
        ends.append(length)
        places.append(place)
        last = place[1]
    return Words("".join(parts), starts, ends, places)


def first_word(name: str) -> str:
    """The first word of a name that has one."""
    found = _word().match(name)
    return found[0] if found is not None else ""


def is_of_syllables(name: str) -> bool:
    """Whether the characters of a name are syllables or words, as in Chinese, Japanese and Korean, by its first one."""
    return _syllable().match(name) is not None


@cache
def _syllable() -> re.Pattern[str]:
    return re.compile(f"[{_SYLLABLES}]")


@cache
def _word() -> re.Pattern[str]:
    """A word with the marks of its letters, which Python's own words lack: no name ends before one."""
    codes = (*range(LAST_MARK + 1), *range(0xE0100, 0xE01F0))
    marks = "".join(chr(code) for code in codes if unicodedata.category(chr(code)).startswith("M")) + _JOINERS
    letter = rf"[^\W{_UNSPACED}]"
    return re.compile(rf"[{_UNSPACED}][{marks}]*|(?:{letter}++[{marks}]*+)++|\S[{marks}]*")
