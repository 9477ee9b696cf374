"""Wikipedia titles as entity ids: one string for the URL, the quoted title and the plain one."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from dim.data.files import clean_text

# WikiDiverse has typing errors before the scheme (`nhttps:`, `]https:`, `ttps:`), which its own evaluation forgives.
_WIKIPEDIA = re.compile(r"(?:[^/]{0,3}ttps?:)?/*(?:([a-z-]+)\.)?(?:m\.)?wikipedia\.org/+wiki/+", re.IGNORECASE)
# What no title can hold: brackets, and the marks of writing direction that a copied title brings along.
_FORBIDDEN = str.maketrans("", "", "[]\u200e\u200f\u202a\u202b\u202c\u202d\u202e")
_ENGLISH = (None, "en", "www")


def title_name(value: str) -> str:
    """A title as Wikipedia shows it, from a URL or a title; empty where there is none.

    Example:
        >>> [title_name(text) for text in ("https://en.wikipedia.org/wiki/A%20B", "/wiki/A_B", " A  B", "[A_B#C]")]
        ['A B', 'A B', 'A B', 'A B#C']
    """
    return _split_language(value)[1]


def title_id(value: str) -> str:
    """The id of the entity that a URL or a title names; empty where there is none.

    Underscores and hyphens are spaces and the first letter is a capital: the releases write the golds as URLs
    (`High-definition_television`) and the candidates as names (`High definition television`), and Wikipedia itself
    ignores the case of the first letter. A page of another Wikipedia keeps its language.

    Example:
        >>> title_id("https://en.wikipedia.org/wiki/High-definition_television"), title_id("iPhone")
        ('High definition television', 'IPhone')
        >>> title_id("https://de.wikipedia.org/wiki/K%C3%B6ln")
        'de:Köln'
    """
    language, name = _split_language(value)
    text = " ".join(name.replace("-", " ").split()) or name
    first = text[:1].upper()
    text = (first if len(first) == 1 else text[:1]) + text[1:]
    return text if language in _ENGLISH or not text else f"{language}:{text}"


def _split_language(value: str) -> tuple[str | None, str]:
    text = value.strip()
    match = _WIKIPEDIA.match(text)
    language = None
    if match:
        language = match[1].lower() if match[1] else None
        text = text[match.end() :].partition("#")[0]
    text = clean_text(unquote(text.removeprefix("/wiki/"))).translate(_FORBIDDEN)
    return language, " ".join(unicodedata.normalize("NFC", text).replace("_", " ").split())
