"""One Unicode form (NFC) for every text: `é` is one character, whether a file has it as one or as two."""

from __future__ import annotations

import unicodedata


def one_form(text: str) -> str:
    r"""The text with composed characters (NFC); a text that has them already is returned as it is.

    macOS decomposes file names, Vietnamese and Korean keyboards decompose names; compared letter by letter they are
    other strings.

    Example:
        >>> one_form("Cafe\u0301") == "Caf\u00e9"
        True
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def one_form_span(text: str, start: int, end: int) -> tuple[str, int, int]:
    r"""The text in its one form, and where the characters from `start` to before `end` stand in it.

    Example:
        >>> one_form_span("e\u0301, Ana\u0308", 4, 8)
        ('é, Anä', 3, 6)
    """
    composed = one_form(text)
    if len(composed) == len(text):
        return composed, start, end
    return composed, len(one_form(text[:start])), len(one_form(text[:end]))
