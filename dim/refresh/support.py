"""Which sentences of a new text its sources support: the old text, the names and the attributes.

Whether a sentence is true is not known here; that a model says more than it was told is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dim.refresh.names import new_names, sentences, words_of

#: The share of a sentence's content words that its sources hold at least.
ENOUGH = 0.5
#: Letters by which words are compared, so that "politician" and "politics" are one.
STEM = 6
LONGEST = 200  #: Characters of a sentence in a report.

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]")  # Thai to Burmese, Japanese, Chinese
_WITHOUT_CONTENT = (
    "about above after again against also although among another around because been before being below between both "
    "could does doing down during each either ever every from further have having here hers herself himself however "
    "into itself just known like many more most much must neither none often once only other others over same several "
    "shall should since some such than that their theirs them themselves then there these they this those though "
    "through thus together towards under until upon very well were what when where whether which while whom whose will "
    "with within without would your"
)
#: Words of four letters and more that say nothing by themselves.
_FUNCTION = frozenset(_WITHOUT_CONTENT.split())


def judged_sentences(text: str, source: str) -> Iterator[tuple[str, bool]]:
    """Each sentence, cut to `LONGEST`, and whether `source` supports it.

    Left out are sentences without content words or numbers, and those in scripts that put no spaces between words.
    """
    for sentence in sentences(text):
        if not _UNSPACED.search(sentence) and (_content(sentence) or _NUMBER.search(sentence)):
            said = " ".join(sentence.split())
            yield said if len(said) <= LONGEST else said[:LONGEST].rstrip() + " …", is_supported(sentence, source)


def is_supported(sentence: str, source: str) -> bool:
    """Whether a source holds a sentence's numbers, its names (`new_names`) and half of its content words.

    Content words have four letters or more and are no function words of English; they are compared by their first six.

    Example:
        >>> source = "Ada Lovelace | English mathematician, born 1815"
        >>> is_supported("Ada was an English mathematician.", source)
        True
        >>> is_supported("Ada was an English mathematician, born in 1816.", source)
        False
        >>> is_supported("Ada wore a wonderful coat of blue velvet.", source)
        False
    """
    if set(_NUMBER.findall(sentence)) - set(_NUMBER.findall(source)) or new_names(sentence, source):
        return False
    said, held = _content(sentence), _content(source)
    return sum(word in held for word in said) >= ENOUGH * len(said)


def _content(text: str) -> set[str]:
    """The content words, by their beginnings."""
    words = (word.casefold() for word in words_of(text))
    return {word[:STEM] for word in words if len(word) > 3 and word.isalpha() and word not in _FUNCTION}
