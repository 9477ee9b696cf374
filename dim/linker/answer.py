"""What a linker is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from dim.errors import DataError
from dim.features.live import ImageInput
from dim.text_form import one_form

LONGEST_MENTION = 1_000  #: Characters.
LONGEST_CONTEXT = 20_000  #: Characters; of a longer text the part around the mention is read.
BEFORE = 500  #: Of these characters, that stand before the mention: text encoders read the first few hundred words.


@dataclass(frozen=True)
class Question:
    """A mention to be linked.

    Attributes:
        mention: The name as it stands in the text; may be empty where there is an image.
        context: The text around it; may be empty.
        image: A path, the bytes of an image file, or an opened image; None: no image.
        candidates: Ids of the entities that compete; None: the whole KB.
    """

    mention: str
    context: str = ""
    image: ImageInput | None = None
    candidates: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_text("mention", self.mention)
        check_text("context", self.context)
        object.__setattr__(self, "mention", one_form(self.mention))  # as the KB has its names
        object.__setattr__(self, "context", one_form(self.context))
        if self.image is not None and not isinstance(self.image, str | Path | bytes | Image.Image):
            raise DataError(
                "an image as a path, as the bytes of a file, or opened by Pillow",
                f"{type(self.image).__name__}",
                "Give it as one of these.",
            )
        if len(self.mention) > LONGEST_MENTION:
            raise DataError(
                f"a mention of at most {LONGEST_MENTION:,} characters",
                f"{len(self.mention):,}",
                "Give the name alone as mention, and the text around it as context.",
            )
        if not self.mention.strip() and self.image is None:
            raise DataError("a mention, or an image", "neither", "Give the name as it stands in the text.")


def check_text(what: str, value: object) -> None:
    """Raises DataError where a value is no text, or holds half a character (a lone surrogate), which no file can."""
    if not isinstance(value, str):
        raise DataError(f"text as {what}", type(value).__name__, "Give a string.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"whole characters in the {what}",
            f"half of one, U+{ord(value[error.start]):04X}, at place {error.start:,}",
            "Cut or decode the text at whole characters.",
        ) from error


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

    def as_json(self) -> dict[str, Any]:
        """The answer as plain values."""
        return asdict(self)


def question_of(question: Question | Mapping[str, Any]) -> Question:
    """The question that a mapping holds.

    Raises:
        DataError: It has a field that questions do not have, or nothing is asked.
    """
    if isinstance(question, Question):
        return question
    known = set(Question.__dataclass_fields__)
    if unknown := sorted(set(question) - known):
        raise DataError(f"a question of {', '.join(sorted(known))}", f"the field {unknown[0]}", "Take it out.")
    return Question(**{"mention": "", **question})


def shortened(question: Question) -> Question:
    """The question with the part of a very long text that stands around the mention."""
    context = question.context
    if len(context) <= LONGEST_CONTEXT:
        return question
    start = max(0, context.find(question.mention) - BEFORE)
    return Question(question.mention, context[start : start + LONGEST_CONTEXT], question.image, question.candidates)
