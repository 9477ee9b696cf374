"""Answers that say the same again and again, as small models do."""

from __future__ import annotations

import re
from collections import Counter

TIMES = 3  #: So often the same words make a loop.
#: Words that the end of a text has at least in a loop, repetitions included: less is emphasis.
FEWEST_WORDS = 9
#: Words in a row that may not come so often anywhere: shorter ones, as "the president of the", may.
SEQUENCE = 6
#: The share of the words of an answer that ended by itself which makes a loop, sentences or not.
MOST_OF = 2 / 3

_WORD = re.compile(r"\w+(?:['’\-]\w+)*")
_SENTENCE_END = re.compile(r"[.!?…\n]")


def loop_of(text: str, has_ended: bool = False) -> str:
    """What a text repeats: the words that it ends in three times or more, or six words in a row that it has as often.

    An answer that ended by itself got out of whatever it repeated, so it may say a thing three times, and quote a
    refrain. It loops where its last sentences are the same three times, or where two thirds of it are one repetition.

    Args:
        text: The text.
        has_ended: Whether the model ended it, and no longest answer cut it.

    Returns:
        The repeated words; empty where it repeats nothing.

    Example:
        >>> loop_of("He is a man. He is tall and he is tall and he is tall and he is")
        'he is tall and'
        >>> loop_of("It is very, very, very old.")
        ''
        >>> loop_of("A singer of the fifties, known for: let it be, let it be, let it be.", has_ended=True)
        ''
        >>> loop_of("A singer of the fifties. He sang a song. He sang a song. He sang a song.", has_ended=True)
        'he sang a song'
    """
    found = list(_WORD.finditer(text.casefold()))
    words = [each[0] for each in found]
    if has_ended:
        length, num = _end_of(words)
        is_loop = length > 0 and (num >= MOST_OF * len(words) or _are_sentences(text.casefold(), found, length))
        return " ".join(words[len(words) - length :]) if is_loop else ""
    for told in (words, words[:-1]):  # the last word may have been cut
        length, num = _end_of(told)
        if length:
            return " ".join(told[len(told) - num :][:length])
    sequences = Counter(tuple(words[start : start + SEQUENCE]) for start in range(len(words) - SEQUENCE + 1))
    return next((" ".join(each) for each, count in sequences.items() if count >= TIMES), "")


def _end_of(words: list[str]) -> tuple[int, int]:
    """Of the words that the end consists of, again and again: how many they are, and how many all of these; 0 and 0."""
    for length in range(1, len(words) // TIMES + 1):
        run = 0
        while run < len(words) - length and words[-1 - run] == words[-1 - run - length]:
            run += 1
        if run + length >= max(TIMES * length, FEWEST_WORDS):
            return length, run + length
    return 0, 0


def _are_sentences(text: str, found: list[re.Match[str]], length: int) -> bool:
    """Whether each of the last times that so many words come is a sentence, or several, of its own."""
    starts = [len(found) - length * times for times in range(1, TIMES)]
    return all(_SENTENCE_END.search(text[found[start - 1].end() : found[start].start()]) for start in starts)
