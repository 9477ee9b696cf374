"""What linker.json says, by type: it is read once, and whatever is not so is refused before anything is made of it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from dim.core.sealed import Manifest


class RecipeFacts(TypedDict):
    """How model and encoders are made again (`dim.linker.recipe`); their classes are checked there."""

    model: dict[str, Any]
    encoders: dict[str, Any]
    context_template: str
    context_reach: NotRequired[int | Literal["auto"]]
    text_template: NotRequired[str]
    name_alone: NotRequired[bool]
    num_images: int


class Figure(TypedDict):
    """A figure of the run, as `dim.linker.figures` has it."""

    system: str
    dataset: str | None
    split: str | None
    protocol: str | None
    kb_size: int
    n: int
    seed: int | None
    top1: float | None
    top5: float | None
    mrr: float | None
    floor: float | None


class About(TypedDict):
    """What a linker comes from."""

    recipe: RecipeFacts
    dataset: str | None
    kb_hash: str | None
    licence: NotRequired[str | None]
    run: NotRequired[str | None]
    is_untrained: NotRequired[bool]
    context_sentences: NotRequired[int]
    figures: NotRequired[list[Figure] | None]
    images: NotRequired[Literal["copies", "paths", "none"]]
    trusted: NotRequired[list[str]]
    judge: NotRequired[str | None]
    hub: NotRequired[str]


class GenerativeAbout(About):
    """The same of a generative linker."""

    language_model: str
    reads_context: bool


class FieldFacts(TypedDict):
    """The fields that a method reads, with the columns of their vectors."""

    mention_fields: dict[str, int]
    entity_fields: dict[str, int]


class LinkerManifest(Manifest):
    """Of a linker."""

    about: About
    fingerprints: dict[str, str]
    next_row: int
    towers: FieldFacts


class BaselineManifest(Manifest):
    """Of the linker of a baseline."""

    about: About
    next_row: int


class GenerativeManifest(Manifest):
    """Of a generative linker."""

    about: GenerativeAbout
    fingerprints: dict[str, str]
    next_row: int
    image_width: int | None


class MIMICManifest(Manifest):
    """Of a MIMIC linker."""

    about: About
    fingerprints: dict[str, str]
    next_row: int
    fields: FieldFacts
