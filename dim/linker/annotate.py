"""Mentions that a caller marks in a text, and what is read around each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral
from operator import index
from typing import Any

from dim.data.given_values import check_text, shown
from dim.errors import DataError
from dim.features.live import ImageInput
from dim.linker.answer import LONGEST_MENTION, Answer, Question

Spans = Iterable[Sequence[int]] | Sequence[int]  #: Pairs of start and end, or one pair.
Marked = tuple[int, int, Question]  #: Start and end of a mention in a text, and what is asked of it.
REACH = 300  #: Characters on either side at most: text encoders read a few hundred words.
#: No sentence ends after an initial or a title, nor before a small letter.
_NO_END = "".join(rf"(?<!\b{title})" for title in ("[A-Z]", "Mr", "Mrs", "Ms", "Dr", "St", "Jr", "Sr", "Prof", "vs"))
_END = re.compile(rf"""(?:{_NO_END}\.|[!?…])["'”’»)\]]*\s++(?![a-z])|[。！？][”’」』）]*|\n\s*\n\s*""")
_BLANK = re.compile(r"\s+")
_BREAK = re.compile(r"(?<=\S)[^\S\n\r]*[\n\r]\s*(?=\S)")


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


def marked_questions(text: str, spans: Spans, image: ImageInput | Sequence[ImageInput] | None = None) -> list[Marked]:
    """Start, end and question of each mention that spans mark in a text, with its sentence as context.

    A mention that a line's end divides is asked with a blank there.

    Raises:
        DataError: As `spans_in`.
    """
    return [(start, end, _question(text, start, end, image)) for start, end in spans_in(text, spans)]


def _question(text: str, start: int, end: int, image: ImageInput | Sequence[ImageInput] | None) -> Question:
    left, right = _sentence(text, start, end)
    span = max(start, left) - left, min(end, right) - left
    return Question(_BREAK.sub(" ", text[start:end]), text[left:right], image, span=span)


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


def sentence_around(text: str, start: int, end: int) -> str:
    """What a linker reads as the context of the mention at `start` to `end`: its sentence, as linkers are trained on.

    Where the sentence reaches further than 300 characters on a side, it is cut there, between words.

    Example:
        >>> sentence_around("Ada sings. Dr. Bob B. Bell paints. Eve sleeps.", 15, 26)
        'Dr. Bob B. Bell paints.'
    """
    left, right = _sentence(text, start, end)
    return text[left:right]


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Where it begins and ends, without blanks at either side."""
    left, right = max(0, start - REACH), min(len(text), end + REACH)
    if ends := list(_END.finditer(text, left, start)):
        left = ends[-1].end()
    elif left > 0 and (blank := _BLANK.search(text, left, start)):
        left = blank.end()
    if found := _END.search(text, end, right):
        right = found.end()
    elif right < len(text) and (blanks := list(_BLANK.finditer(text, end, right))):
        right = blanks[-1].start()
    while text[left].isspace():  # there is a name in it
        left += 1
    while text[right - 1].isspace():
        right -= 1
    return left, right
