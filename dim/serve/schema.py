"""The JSON of requests and answers; the OpenAPI document is made of it."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator
from starlette.responses import Response

from dim.linker.answer import LONGEST_MENTION, part_around
from dim.serve.data_url import DataUrl, OptionalDataUrl
from dim.serve.problems import Problem

MOST_CANDIDATES = 10_000

NOT_BLANK = r"[^\s\x1c-\x1f]"  #: As Python's `str.strip` has it.

EntityId = Annotated[str, Field(max_length=1000)]
Candidates = Annotated[
    Annotated[list[EntityId], Field(fail_fast=True, max_length=MOST_CANDIDATES)] | None,
    Field(description="Ids of the entities that compete; null: the whole KB."),
]
Context = Annotated[str, Field(description="The text around it; of a very long one the part around the mention.")]
TopK = Annotated[int, Field(ge=1, description="Answers at most.")]


def _few(value: Any, info: ValidationInfo) -> Any:
    most = (info.context or {}).get("max_batch", math.inf)
    if isinstance(value, list) and len(value) > most:
        what = info.field_name or "items"
        raise Problem(422, f"at most {most} {what} in a request", f"{len(value):,}", "Send several requests.")
    return value


#: Before anything is made of them, they are counted: `max_batch` stands in the context of the validation.
Few = BeforeValidator(_few)


class Strict(BaseModel):
    """JSON that has these fields and no others, and no `"5"` for 5. A list is read up to its first mistake."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    def response(self) -> Response:
        """It as an answer, written once, by Pydantic: FastAPI would validate what was made here."""
        return Response(self.model_dump_json(), media_type="application/json")


class Told(Strict):
    """A mention and what stands around it: no more than is read of it waits for its turn."""

    mention: str
    context: str

    @model_validator(mode="after")
    def _cut(self) -> Self:
        self.context = part_around(self.mention, self.context)
        return self


class Asked(Told):
    """A question without an image."""

    mention: str = Field(
        max_length=LONGEST_MENTION, pattern=NOT_BLANK, description="The name as it stands in the text; not blank."
    )
    context: Context = ""
    candidates: Candidates = None


class AskedOne(Asked):
    """A question, and how many answers it may have."""

    top_k: TopK = 5


class AskedOfMany(Told):
    """One question of many."""

    mention: str = Field(
        "", max_length=LONGEST_MENTION, description="As it stands in the text; blank: the image alone."
    )
    context: Context = ""
    candidates: Candidates = None
    image: int | None = Field(None, ge=0, description="The place of its image in `images`; several may have the same.")


class AskedMany(Strict):
    """Questions that are answered together."""

    questions: Annotated[list[AskedOfMany], Field(fail_fast=True), Few]
    images: Annotated[list[DataUrl], Field([], fail_fast=True, description="What questions refer to."), Few]
    top_k: TopK = 5


class AskedWithImage(Told):
    """The text fields of a form."""

    mention: str = Field("", max_length=LONGEST_MENTION)
    context: Context = ""
    candidates: Candidates = None
    top_k: TopK = 5


class Span(Strict):
    """Where a mention stands."""

    start: int = Field(ge=0, description="Its first character.")
    end: int = Field(ge=1, description="The character after its last.")


class AskedText(Strict):
    """A text with its mentions."""

    text: str = Field(min_length=1)
    spans: Annotated[
        Annotated[list[Span], Field(fail_fast=True)] | None,
        Field(None, description="Of its mentions; null: the server finds them."),
        Few,
    ]
    top_k: TopK = 5
    collective: bool = Field(False, description="Answer its mentions together, if the linker has learned it.")


class AskedPicturedText(AskedText):
    """A text with its mentions and its image."""

    image: OptionalDataUrl = Field(None, description="A data URL: of every mention.")


class EntityIn(Strict):
    """An entity that is new to the KB."""

    id: str = Field(max_length=1000, pattern=NOT_BLANK, description="None that the KB has.")
    name: str = Field(pattern=NOT_BLANK, description="Not blank.")
    text: str | None = Field(None, description="What is said of it.")
    aliases: list[str] = Field([], description="Further names.")
    type: str | None = Field(None, description="A label.")
    popularity: float | None = Field(None, description="Such as page views.")


class AskedEntities(Strict):
    """Entities that shall be added."""

    entities: Annotated[list[EntityIn], Field(fail_fast=True)]


class AskedIds(Strict):
    """Entities that shall be removed."""

    ids: Annotated[list[EntityId], Field(fail_fast=True, description="Of the entities.")]


class Changed(Strict):
    """How the KB changed."""

    added: int
    removed: int
    entities: int = Field(description="That it has now.")


class AnswerOut(Strict):
    """An entity that a mention may mean."""

    id: str = Field(description="`NIL` where the KB has none.")
    name: str
    text: str | None
    score: float = Field(description="Higher is better; comparable within one answer list.")
    probability: float | None = Field(description="Calibrated; null where the linker has none.")
    evidence: dict[str, float] = Field(description="The parts that the score was made from; GET /about explains them.")
    images: list[str] = Field(description="Paths on this server.")


class Linked(Strict):
    """The answers to a question, best first."""

    answers: list[AnswerOut]


class ErrorParts(Strict):
    """What went wrong."""

    expected: str
    found: str
    remedy: str


class Failed(Strict):
    """An error."""

    error: ErrorParts


class LinkedMany(Strict):
    """The answers to each question, or its error, in their order."""

    results: list[Linked | Failed]


class AnnotatedMention(Strict):
    """A mention with its answers."""

    start: int
    end: int
    mention: str
    answers: list[AnswerOut]


class AnnotatedText(Strict):
    """A text with the answers to its mentions, in their order."""

    text: str
    annotations: list[AnnotatedMention]


class Example(Strict):
    """A question to try."""

    mention: str
    context: str
    image: str | None


class About(Strict):
    """What this server links to."""

    name: str
    entities: int
    reads_images: bool
    has_probabilities: bool
    calibrated_on: str = Field(
        "", description="What probabilities are calibrated on, where that is other data than the KB's."
    )
    evidence: dict[str, str] = Field(description="What each part of the evidence says.")
    examples: list[Example]
    limits: dict[str, int | float]
    version: str


class State(Strict):
    """Whether the server is well."""

    status: str
