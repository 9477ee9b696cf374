"""Answers that say the same again and again, as small models do."""

from __future__ import annotations

import re
from collections import Counter

TIMES = 3  #: So often the same words make a loop.
#: Words that the end of a text has at least in a loop, repetitions included: less is emphasis.
FEWEST_WORDS = 9
#: Words in a row that may not come so often anywhere: shorter ones, as "the president of the", may.
SEQUENCE = 6


def loop_of(text: str) -> str:
    """What a text repeats: the words that it ends in three times or more, or six words in a row that it has as often.

    Returns:
        The repeated words; empty where it repeats nothing.

    Example:
        >>> loop_of("He is a man. He is tall and he is tall and he is tall and he is")
        'he is tall and'
        >>> loop_of("It is very, very, very old.")
        ''
    """
    words = re.findall(r"\w+(?:['’\-]\w+)*", text.casefold())
    for told in (words, words[:-1]):  # the last word may have been cut
        if repeated := _end_of(told):
            return " ".join(repeated)
    sequences = Counter(tuple(words[start : start + SEQUENCE]) for start in range(len(words) - SEQUENCE + 1))
    return next((" ".join(each) for each, count in sequences.items() if count >= TIMES), "")


def _end_of(words: list[str]) -> list[str]:
    """The words that the end consists of, again and again."""
    for length in range(1, len(words) // TIMES + 1):
        run = 0
        while run < len(words) - length and words[-1 - run] == words[-1 - run - length]:
            run += 1
        num = run + length
        if num >= max(TIMES * length, FEWEST_WORDS):
            start = len(words) - num
            return words[start : start + length]
    return []
