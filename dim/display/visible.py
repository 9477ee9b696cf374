"""Texts as they are: what has no sign of its own, or turns the signs around it, is written out."""

from __future__ import annotations

import re
import unicodedata

#: Control characters, signs of direction (a name must not change the reading of what stands beside it), half
#: characters, and what takes no room.
HIDDEN = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u200e\\u200f"
    "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ud800-\\udfff\\ufeff\\uffa0\\ufff9-\\ufffb"
    "\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e007f"
)
#: Joiners and variation selectors, which scripts and emoji need, and which hide behind other letters.
JOINING = "\\u200c\\u200d\\ufe00-\\ufe0f\\U000e0100-\\U000e01ef"
_SIGNS = re.compile(f"\r\n|[{HIDDEN}{JOINING}]")
_SIGNS_AND_BREAKS = re.compile(f"[\t\n{HIDDEN}{JOINING}]")
_HIDDEN = re.compile(f"[{HIDDEN}]")
_JOINING = re.compile(f"[{JOINING}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_KEYCAP = "\u20e3"
#: What they stand behind, beyond ASCII: letters without case (of Arabic, Persian, the scripts of India …), their marks,
#: and pictures.
_JOINED = ("Lo", "Mn", "Mc", "So", "Sk", "Sm", "Po", "Pd")


def visible(text: str) -> str:
    r"""The text with all that is not seen written out; line breaks and tabs stay.

    Example:
        >>> print(visible("\x1b[31mred\u202e\nnext"))
        \x1b[31mred\u202e
        next
    """
    return _SIGNS.sub(_written, text)


def visible_line(text: str) -> str:
    r"""The text in one line: line breaks and tabs are written out, too.

    Example:
        >>> print(visible_line("Ann\nerror: none"))
        Ann\nerror: none
    """
    return _SIGNS_AND_BREAKS.sub(_written, text)


def visible_json(text: str) -> str:
    r"""JSON with what is not seen as its escapes: the same value.

    Example:
        >>> print(visible_json('"\u202eAnn"'))
        "\u202eAnn"
    """
    return _HIDDEN.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


def _written(match: re.Match[str]) -> str:
    sign = match[0]
    if sign == "\r\n":
        return "\n"
    if _JOINING.match(sign) and _joins(match):
        return sign
    code = ord(sign)
    return _SHORT.get(sign) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def _joins(match: re.Match[str]) -> bool:
    """Whether a joiner or variation selector stands behind what it is made for."""
    text, start, end = match.string, match.start(), match.end()
    before, after = text[start - 1 : start], text[end : end + 1]
    if after == _KEYCAP:
        return True
    is_selector = match[0] not in "\u200c\u200d"
    return before > "\x7f" and unicodedata.category(before) in _JOINED and not (is_selector and _JOINING.match(before))
