"""The fields of mentions and entities that are encoded. A new field is one more entry in `FIELDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dim.core.choices import nearest
from dim.core.jobs import Dtype
from dim.core.templates import CONTEXT_FIELDS, CONTEXT_TEMPLATE, TEXT_FIELDS, check_template
from dim.data.dataset import Dataset
from dim.encoders.base import ENCODERS, Captioner, Frozen, ImageEncoder, Owner, TextEncoder
from dim.errors import ConfigError
from dim.features.around import text_around
from dim.features.behind import Behind, Reading, Row
from dim.features.inputs import Inputs
from dim.images.batches import Paths

#: How much of a context is read: so many characters on either side of the mention at most; `auto`: all that the encoder
#: reads, and where the mention stands behind that, what it reads around it; None: from the start, come what may.
ContextReach = int | Literal["auto"] | None


#: Choices that came later, as whatever was written before them had them.
BEFORE: Mapping[str, Any] = MappingProxyType({"context_reach": None, "text_template": "{text}", "name_alone": False})


@dataclass(frozen=True)
class Choices:
    """What is read of mentions and entities, and by which encoders. Keys of the feature cache hold how it prints.

    Attributes:
        text_encoder: For mentions, contexts, captions, names and entity texts; None: no such field.
        image_encoder: For the images of both.
        name_encoder: For the spelling of mentions and names.
        captioner: Says what a mention's image shows.
        entity_text: The variant of the entity texts.
        context_template: What is encoded as the context.
        context_reach: How much of a context is read.
        text_template: What is encoded as the text of an entity.
        name_alone: Whether the name alone stands where a mention has no context, or an entity no text.
        captions: The captioner's words for each mention, used where the dataset has no caption; None: there are none.
        num_images: Usable images an owner at most; the ones behind them are not looked at.
        dtype: Of features on the disk.

    Raises:
        ConfigError: A template names what it may not, or a number is below 1.
    """

    text_encoder: TextEncoder | None = field(default=None, repr=False)
    image_encoder: ImageEncoder | None = field(default=None, repr=False)
    name_encoder: TextEncoder | None = field(default=None, repr=False)
    captioner: Captioner | None = field(default=None, repr=False)
    entity_text: str = "brief"
    context_template: str = CONTEXT_TEMPLATE
    context_reach: ContextReach = "auto"
    text_template: str = "{text}"
    name_alone: bool = False
    captions: Sequence[str | None] | None = None
    num_images: int = 1
    dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        check_template(self.context_template, CONTEXT_FIELDS, "a context_template")
        check_template(self.text_template, TEXT_FIELDS, "a text_template")
        if isinstance(reach := self.context_reach, int) and reach < 1:
            remedy = "Raise it, or leave it out: contexts are cut around the mention where they have to be."
            raise ConfigError("at least 1 character on either side (context_reach)", str(reach), remedy)
        if self.num_images < 1:
            raise ConfigError("at least 1 image an owner (num_images)", str(self.num_images), "Raise it.")

    @property
    def encoders(self) -> dict[str, Frozen]:
        """Those that there are, the captioner among them, by their options."""
        found = {name: getattr(self, name) for name in ENCODERS}
        return {name: encoder for name, encoder in found.items() if encoder is not None}


class Columns(Protocol):
    """Where fields find their inputs: a `Dataset`, or what a caller gave."""

    def column(self, table: Literal["mentions", "entities"], name: str) -> pa.ChunkedArray:
        """A column of the mentions or the entities."""

    def text_column(self, variant: str) -> pa.ChunkedArray:
        """The text of each entity, in the order of the entities."""


@dataclass(frozen=True)
class Field:
    """One kind of evidence.

    Attributes:
        name: Of the features, as `--data.leave_out` and the cache call them.
        owner: Whose rows the features follow.
        encoder: Which encoder takes it.
        tables: The tables that its inputs come from, as named in `dataset.json` under `hashes`.
        inputs: One text, or one list of image paths, an owner; null where there is nothing.
        read_as: What methods call it, beside the other fields of its owner.
    """

    name: str
    owner: Owner
    encoder: Literal["text", "image", "name"]
    tables: tuple[str, ...]
    inputs: Callable[[Columns, Choices], Sequence[Any] | pa.ChunkedArray]
    read_as: str

    @property
    def kind(self) -> Literal["text", "image"]:
        """What the encoder reads."""
        return "image" if self.encoder == "image" else "text"

    def unique_inputs(self, dataset: Dataset, choices: Choices) -> Inputs:
        """The inputs of all owners, in the dataset's order."""
        owners = self.inputs(dataset, choices)
        return Inputs.of_texts(owners) if self.kind == "text" else Inputs.of_images(owners, dataset.image_root)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Blank is as missing as null."""
    blank = pc.or_(pc.utf8_is_space(column), pc.equal(pc.binary_length(column), 0))
    return pc.if_else(blank, None, column) if pc.any(blank).as_py() else column


def image_paths(column: pd.Series[Any]) -> list[Paths | None]:
    """The images of each owner, None where it has none."""
    return [tuple(map(str, paths)) if paths is not None and len(paths) else None for paths in column.tolist()]


@dataclass(frozen=True)
class Contexts:
    """What is encoded as the contexts.

    Attributes:
        texts: Of each mention; None where it has none.
        behind: What the encoder would not have read of them; None: it does not say, or was not asked (`auto` asks).
    """

    texts: list[str | None]
    behind: Behind | None = None


def read_contexts(dataset: Columns, choices: Choices) -> Contexts:
    """What is encoded as the contexts."""
    rows = context_rows(dataset)
    parts: list[str | None] = [context for _, context, *_ in rows]
    behind = None
    if choices.context_reach == "auto":
        reading = reading_of(choices)
        if reading is not None and (behind := reading.behind(rows)) is not None:
            for row, part in reading.around([name for name, *_ in rows], behind).items():
                parts[row] = part
    elif (reach := choices.context_reach) is not None:
        parts = [
            None if context is None else text_around(context, name or "", start, end, reach)
            for name, context, start, end in rows
        ]
    given = zip(rows, parts, strict=True)
    texts = [
        _alone(name, choices) if part is None else choices.context_template.format(mention=name, context=part)
        for (name, *_), part in given
    ]
    return Contexts(texts, behind)


def _alone(name: str | None, choices: Choices) -> str | None:
    """What stands for a text that is missing."""
    return name if choices.name_alone and name and name.strip() else None


def reading_of(choices: Choices) -> Reading | None:
    """How the text encoder is given contexts; None: there is none."""
    reader = choices.text_encoder
    return None if reader is None else Reading(reader.reading("mention"), choices.context_template)


def context_rows(dataset: Columns) -> list[Row]:
    """Name, context (None where it is blank) and offsets of each mention."""
    names, starts, ends = (dataset.column("mentions", name).to_pylist() for name in ("mention", "start", "end"))
    contexts = _texts(dataset.column("mentions", "context")).to_pylist()
    return list(zip(names, contexts, starts, ends, strict=True))


def _mentions(dataset: Columns, _: Choices) -> pa.ChunkedArray:
    return _texts(dataset.column("mentions", "mention"))


def _names(dataset: Columns, _: Choices) -> pa.ChunkedArray:
    return _texts(dataset.column("entities", "name"))


def _entity_texts(dataset: Columns, choices: Choices) -> Sequence[str | None] | pa.ChunkedArray:
    texts, template = _texts(dataset.text_column(choices.entity_text)), choices.text_template
    if template == "{text}" and not choices.name_alone:
        return texts
    named = zip(dataset.column("entities", "name").to_pylist(), texts.to_pylist(), strict=True)
    return [_alone(name, choices) if text is None else template.format(name=name, text=text) for name, text in named]


def _captions(dataset: Columns, choices: Choices) -> list[str | None]:
    given: list[str | None] = _texts(dataset.column("mentions", "caption")).to_pylist()
    if choices.captions is None:
        return given
    return [caption or said for caption, said in zip(given, choices.captions, strict=True)]


#: In the order in which models read them.
FIELDS = (
    Field("mention", "mention", "text", ("mentions",), _mentions, "mention"),
    Field("context", "mention", "text", ("mentions",), lambda d, c: read_contexts(d, c).texts, "context"),
    Field("caption", "mention", "text", ("mentions",), _captions, "caption"),
    Field("image", "mention", "image", ("mentions",), lambda d, _: d.column("mentions", "images"), "image"),
    Field("spelling", "mention", "name", ("mentions",), _mentions, "spelling"),
    Field("name", "entity", "text", ("entities",), _names, "name"),
    Field("text", "entity", "text", ("entities", "texts/{entity_text}"), _entity_texts, "text"),
    Field("entity_image", "entity", "image", ("entities",), lambda d, _: d.column("entities", "images"), "image"),
    Field("name_spelling", "entity", "name", ("entities",), _names, "spelling"),
)


def fields_of(owner: Owner) -> list[Field]:
    """The fields of mentions, or those of entities, in their order."""
    return [field for field in FIELDS if field.owner == owner]


def check_fields(names: Sequence[str], option: str) -> None:
    """Raises ConfigError where a name is no field."""
    known = [field.name for field in FIELDS]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"fields ({', '.join(known)}) in {option}", repr(name), f"Did you mean {nearest(name, known)}?"
            )
