"""What a linker is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from dim.core.text_form import one_form, one_form_span
from dim.data.dataset import Mention
from dim.data.given_values import check_half, check_text, plain, shown
from dim.data.table_files import list_cell, text_cell
from dim.data.table_rows import SYNONYMS, MentionRow, by_known_names, mention_row, misnamed
from dim.errors import DataError
from dim.features.live import ImageInput, ReadyImage, Span
from dim.linker.given import as_row, candidates_of, each_of

LONGEST_MENTION = 1_000  #: Characters.
LONGEST_CONTEXT = 20_000  #: Characters; of a longer text the part around the mention is read.
IMAGE = ("image", SYNONYMS["image"])
ASKED = ("mention", "context", "image", "candidates")  #: The fields that ask.
READ = (*ASKED, "start", "end")  #: The fields that are read.
BEFORE = 500  #: Of these characters, that stand before the mention: text encoders read the first few hundred words.


@dataclass(frozen=True)
class Question:
    """A mention to be linked.

    Attributes:
        mention: The name as it stands in the text; may be empty where there is an image.
        context: The text around it; may be empty.
        image: A path, the bytes of an image file, or an opened image; of several the first usable ones count; None: no
            image.
        candidates: Ids of the entities that compete; None: the whole KB.
        span: Where the mention stands in the context; None: at the first place of its name.
    """

    mention: str
    context: str = ""
    image: ImageInput | Sequence[ImageInput] | None = None
    candidates: Sequence[str] | None = None
    span: Span | None = None

    def __post_init__(self) -> None:
        check_text("mention", self.mention)
        check_text("context", self.context)
        object.__setattr__(self, "mention", one_form(self.mention))  # as the KB has its names
        context, span = _with_span(self.context, self.span)
        object.__setattr__(self, "context", context)
        object.__setattr__(self, "span", span)
        object.__setattr__(self, "image", _image(self.image))
        object.__setattr__(self, "candidates", candidates_of(self.candidates))
        if len(self.mention) > LONGEST_MENTION:
            raise DataError(
                f"a mention of at most {LONGEST_MENTION:,} characters",
                f"{len(self.mention):,}",
                "Give the name alone as mention, and the text around it as context.",
            )
        if not self.mention.strip() and self.image is None:
            raise DataError("a mention, or an image", "neither", "Give the name as it stands in the text.")


def _with_span(context: str, span: Any) -> tuple[str, Span | None]:
    """A context in its one form, and where a mention stands in that. Raises DataError for a place that is none."""
    if span is None:
        return one_form(context), None
    places = list(span) if isinstance(span, tuple | list) else []
    are_whole = all(isinstance(place, int | np.integer) and not isinstance(place, bool) for place in places)
    if len(places) != 2 or not are_whole or not 0 <= places[0] < places[1] <= len(context):
        remedy = "Count characters of the context from 0, the end after the last one; or leave it out."
        raise DataError(f"a span (start, end) in a context of {len(context):,} characters", shown(span), remedy)
    composed, start, end = one_form_span(context, *map(int, places))
    return composed, (start, end)


class QuestionError(DataError):
    """The error of one question among several.

    Attributes:
        place: Of the question, from 0.
        plain: The error as it is where the question is asked alone.
    """

    def __init__(self, place: int, plain: DataError) -> None:
        self.place, self.plain = place, plain
        where = f"question {place}"
        expected = plain.expected if where in plain.expected else f"{plain.expected}, in {where}"
        super().__init__(expected, plain.found, plain.remedy)

    def __reduce__(self) -> tuple[type[DataError], tuple[int, DataError]]:  # type: ignore[override]
        return type(self), (self.place, self.plain)


@contextmanager
def of_question(place: int) -> Iterator[None]:
    """Raises a DataError that rises inside as that of a question, by its place."""
    try:
        yield
    except DataError as error:
        raise QuestionError(place, error) from error


def check_finite(place: int, values: Any, what: str) -> None:
    """Raises QuestionError where what was computed of a question is NaN or infinite.

    Args:
        place: Of the question.
        values: Numbers.
        what: They are, such as "scores".
    """
    if not np.isfinite(values).all():
        with of_question(place):
            remedy = "Ask otherwise; where it is so of many questions, look at the weights of encoders and ranker."
            raise DataError(f"{what} that are finite numbers", "NaN or infinity", remedy)


@contextmanager
def asked_alone() -> Iterator[None]:
    """Raises the error of the only question without its place."""
    try:
        yield
    except QuestionError as error:
        raise error.plain from error.plain.__cause__


Asking = Question | Mention | Mapping[str, Any] | str  #: What a caller may ask by.


@dataclass(frozen=True)
class Answer:
    """An entity that a mention may mean.

    Attributes:
        id: Of the entity; `NIL` where the KB has none.
        name: Its name.
        text: What the KB says of it, or None.
        score: Higher is better; comparable within one answer list.
        probability: How probable it is that the mention means it, calibrated; None where the linker has no ranker.
        evidence: The parts that the score was made from.
        images: Paths of its images in the KB.
    """

    id: str
    name: str
    text: str | None
    score: float
    probability: float | None
    evidence: Mapping[str, float] = field(default_factory=dict)
    images: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return asdict(self)


def certainty(answer: Answer) -> float:
    """What answers to one mention are compared by: the probability, or the score where there is none."""
    return answer.score if answer.probability is None else answer.probability


def question_of(given: object, where: str = "the question") -> Question:
    """The question that a caller asks by a `Question`, a row (see `dim.data.table_rows`), a record, or a name alone.

    Columns that questions do not have are not read.

    Args:
        given: What was handed over.
        where: Its place, for messages.

    Raises:
        DataError: It is none of these, a column is misnamed, nothing is asked, or a value cannot be used.
    """
    if isinstance(given, Question):
        return given
    if isinstance(given, str):
        return Question(given)
    if isinstance(given, Mention):
        span = (given.start, given.end) if given.context and given.start is not None and given.end is not None else None
        return Question(given.mention, given.context, given.images or None, given.candidates, span)
    if (row := as_row(given)) is None:
        raise DataError(
            f"a Question, a mapping of {', '.join(ASKED)}, or a name as {where}", shown(given), "Give one of these."
        )
    row = by_known_names(row, (*READ, *IMAGE))
    if wrong := misnamed(row, READ):
        raise DataError(f"the fields {', '.join(ASKED)} in {where}", f"the field {wrong[0]}", f"Rename it: {wrong[1]}.")
    if not {"mention", *IMAGE} & set(row):
        found = ", ".join(map(str, row)) or "none"
        raise DataError(
            f"the field mention, or image, in {where}", f"the fields {found}", "Name the one that is meant."
        )
    for name in ("mention", "context"):
        check_half(name, row.get(name))  # a table's half character becomes `?`; a caller hears of it
    read = mention_row({name: row[name] for name in READ if name in row and name not in IMAGE}, where)
    image = row.get("image" if "image" in row else "images")
    images = list_cell(image) if isinstance(image, str) else image
    return Question(read.mention, read.context, images, read.candidates, _span(read, where))


def _span(read: MentionRow, where: str) -> Span | None:
    """A row's offsets. Raises DataError where they mark something else in its context than its mention."""
    start, end = read.span
    if start is None or end is None or not read.mention or not read.context:
        return None
    marked = read.context[start:end] if 0 <= start < end else ""
    if one_form(marked).strip() != one_form(read.mention).strip():
        raise DataError(
            f"start and end of the mention {shown(read.mention)} in {where}",
            f"{shown(marked)} at {start} to {end}",
            "Count characters of the context from 0, the end after the last one; or leave both out.",
        )
    return start, end


def asked(mention: Any, context: Any, image: Any, candidates: Any) -> Question:
    """The question of the arguments of `Linker.link`; a number is a text, and what pandas calls missing is nothing."""
    return Question(_said(mention), _said(context), image, candidates)


def questions_of(given: Any) -> list[Question]:
    """The questions in a list, a generator, an array, or the rows of a table; see `question_of`.

    Raises:
        DataError: It is none of these, or has no order; or as `question_of`.
    """
    what = "questions in a list, or the rows of a table"
    remedy = "Put a single question into a list, or ask link(mention, context)."
    if isinstance(given, Set):
        raise DataError(what, f"a {type(given).__name__}, which has no order", "Make it a list.")
    found = []
    for place, each in enumerate(each_of(given, what, remedy)):
        with of_question(place):
            found.append(question_of(each, f"question {place}"))
    return found


def _said(text: Any) -> Any:
    is_cell = not isinstance(text, bool) and (plain(text) is None or isinstance(plain(text), int | float))
    return text_cell(plain(text)) if is_cell else text


def _image(given: Any) -> ImageInput | tuple[ImageInput, ...] | None:
    if isinstance(given, np.ndarray) and given.ndim == 1:  # what pandas reads of a list in Parquet
        given = given.tolist()
    if isinstance(given, list | tuple):
        images = tuple(cast(ImageInput, image) for image in map(_image, given) if image is not None)
        return images if len(images) > 1 else images[0] if images else None
    if isinstance(given, Path | bytes | Image.Image | ReadyImage):
        return given
    value = plain(given)
    if value is None or isinstance(value, str):
        return value or None
    raise DataError(
        "an image as a path, as the bytes of a file, or opened by Pillow", shown(given), "Give it as one of these."
    )


def shortened(question: Question, is_cut: bool = False) -> Question:
    """The question with the part of a very long text that stands around the mention.

    Args:
        question: The question.
        is_cut: Whether the part is cut once more, around the mention, which then stands in its middle; else it is read
            from its start.
    """
    context, span = question.context, question.span
    if len(context) <= LONGEST_CONTEXT:
        return question
    start = context.find(question.mention) if span is None else span[0]
    left = max(0, start - (LONGEST_CONTEXT // 2 if is_cut else BEFORE))
    part = context[left : left + LONGEST_CONTEXT]
    span = None if span is None else (span[0] - left, min(span[1] - left, len(part)))
    return Question(question.mention, part, question.image, question.candidates, span)


def part_around(mention: str, context: str) -> str:
    """The part of a very long text of which `shortened` makes what it makes of the text; a shorter text as it is."""
    if len(context) <= LONGEST_CONTEXT:
        return context
    context = one_form(context)  # as a question has it: where the mention stands is looked for there
    start = max(0, context.find(one_form(mention)))
    left = max(0, min(start - LONGEST_CONTEXT // 2, len(context) - LONGEST_CONTEXT - 1))
    return context[left : start + LONGEST_CONTEXT]
