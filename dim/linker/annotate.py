"""Mentions that a caller marks in a text, and what is read around each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, takewhile
from numbers import Integral
from operator import index
from typing import Any

from dim.data.given_values import check_text, shown
from dim.errors import DataError
from dim.features.live import ImageInput
from dim.linker.answer import LONGEST_MENTION, Answer, Question

Spans = Iterable[Sequence[int]] | Sequence[int]  #: Pairs of start and end, or one pair.
Marked = tuple[int, int, Question]  #: Start and end of a mention in a text, and what is asked of it.
REACH = 300  #: Characters a sentence on either side at most: text encoders read a few hundred words.
MOST_SENTENCES = 9  #: Of a context.
#: Letters of Latin, Greek, Cyrillic and Armenian, the scripts with capitals.
_CAPITAL, _SMALL = ("".join(filter(case, map(chr, range(0x590)))) for case in (str.isupper, str.islower))
#: No sentence ends after an initial or a title, nor before a small letter.
_TITLES = ("Mr", "Mrs", "Ms", "Dr", "St", "Jr", "Sr", "Prof", "vs")
_NO_END = "".join(rf"(?<!\b{title})" for title in (f"[{_CAPITAL}]", *_TITLES))
_END = re.compile(rf"""(?:{_NO_END}\.|[!?…؟۔।॥])["'”’»)\]]*\s++(?![{_SMALL}])|[。！？][”’」』）]*|\n\s*\n\s*""")
_BLANK = re.compile(r"\s+")


@dataclass(frozen=True)
class Annotation:
    """A mention in a text, with the entities that it may mean.

    Attributes:
        start: Place of its first character.
        end: The place after its last.
        mention: What stands there.
        answers: Best first; the first is `NIL` where the linker says that the KB has no such entity.
    """

    start: int
    end: int
    mention: str
    answers: Sequence[Answer]

    def to_dict(self) -> dict[str, Any]:
        """The annotation as plain values."""
        return asdict(self)


def marked_questions(
    text: str, spans: Spans, image: ImageInput | Sequence[ImageInput] | None = None, sentences: int = 1
) -> list[Marked]:
    """Start, end and question of each mention that spans mark in a text, with so many sentences as context.

    Raises:
        DataError: As `spans_in`.
    """
    return [
        (start, end, question_in(text, start, end, place_around(text, start, end, sentences), image))
        for start, end in spans_in(text, spans)
    ]


def question_in(
    text: str,
    start: int,
    end: int,
    context: tuple[int, int],
    image: ImageInput | Sequence[ImageInput] | None = None,
) -> Question:
    """What is asked of the mention at `start` to `end`, whose context stands at two places.

    A mention that a line's end divides, or several blanks, is asked with a blank there.
    """
    left, right = context
    span = max(start, left) - left, min(end, right) - left
    return Question(" ".join(text[start:end].split()), text[left:right], image, span=span)


def spans_in(text: str, spans: Spans) -> list[tuple[int, int]]:
    """The spans as pairs of ints, in the order given.

    Raises:
        DataError: The text is none, or a span is no pair of places with a name between them.
    """
    check_text("text", text)
    try:
        given: list[Any] = list(spans)
    except TypeError as error:
        raise DataError("spans as pairs of whole numbers", shown(spans), "Give a list: [(start, end)].") from error
    if len(given) == 2 and all(isinstance(place, Integral) and not isinstance(place, bool) for place in given):
        given = [(given[0], given[1])]
    return [_span(text, place, span) for place, span in enumerate(given)]


def _span(text: str, place: int, span: Sequence[int]) -> tuple[int, int]:
    try:
        start, end = span
        if isinstance(start, bool) or isinstance(end, bool):
            raise TypeError
        start, end = index(start), index(end)
    except (TypeError, ValueError) as error:
        raise DataError(
            "spans as pairs of whole numbers, start and end", f"spans[{place}] = {span!r}", "Give (start, end)."
        ) from error
    if not 0 <= start < end <= len(text):
        raise DataError(
            f"0 <= start < end <= {len(text)}, the length of the text",
            f"spans[{place}] = ({start}, {end})",
            "Count characters, not bytes or UTF-16 units, from 0; the end is the place after the last one.",
        )
    if end - start > LONGEST_MENTION or not text[start:end].strip():
        found = "blank" if end - start <= LONGEST_MENTION else f"{end - start:,} characters"
        raise DataError(
            f"a name of 1 to {LONGEST_MENTION:,} characters in each span",
            f"spans[{place}] = ({start}, {end}), {found}",
            "Mark the name alone, or take the span out.",
        )
    return start, end


def usual_sentences(contexts: Sequence[str]) -> int:
    """How many sentences half of the contexts have at most; between 1 and 9.

    Example:
        >>> usual_sentences(["Ada sings.", "Ada sings. Bob paints.", "So Ada sang. She left. Bob came."])
        2
    """
    counts = sorted(sum(map(bool, map(str.strip, _END.split(context)))) for context in contexts)
    return min(max(counts[(len(counts) - 1) // 2], 1), MOST_SENTENCES) if counts else 1


def place_around(text: str, start: int, end: int, count: int) -> tuple[int, int]:
    """Where the context begins and ends that a linker reads of the mention at `start` to `end`: so many sentences.

    One is what most are trained on. Of several one more stands before the mention's than behind it where their number
    is even. Where they reach further than 300 characters a sentence on a side, they are cut there, between words. No
    blanks stand at either side.

    Example:
        >>> text = "Ada sings. Dr. Bob B. Bell paints. Eve sleeps."
        >>> [text[slice(*place_around(text, 15, 26, count))] for count in (1, 2)]
        ['Dr. Bob B. Bell paints.', 'Ada sings. Dr. Bob B. Bell paints.']
    """
    before, behind = count // 2, (count - 1) // 2
    left, right = max(0, start - REACH * (before + 1)), min(len(text), end + REACH * (behind + 1))
    # Up to the right end: whether a sentence ends before the mention, its own letters tell.
    ends = list(takewhile(lambda found: found.start() < start, _END.finditer(text, left, right)))
    if len(ends) > before:
        left = min(ends[-1 - before].end(), start)
    elif left > 0 and (blank := _BLANK.search(text, left, start)):
        left = blank.end()
    found = next(islice(_END.finditer(text, end, right), behind, None), None)
    if found is not None:
        right = found.end()
    elif right < len(text) and (blanks := list(_BLANK.finditer(text, end, right))):
        right = blanks[-1].start()
    while text[left].isspace():  # there is a name in it
        left += 1
    while text[right - 1].isspace():
        right -= 1
    return left, right
