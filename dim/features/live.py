"""Features of mentions and entities that stand in no dataset: given by a caller, encoded now, kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image

from dim.encoders.base import Features, ImageEncoder, Owner, TextEncoder
from dim.errors import DataError
from dim.features.batch import Batch, FeatureTable, batch_of
from dim.features.blocks import encoded_images, encoded_texts
from dim.features.captions import render_questions
from dim.features.fields import Choices, fields_of


@dataclass(frozen=True, eq=False)
class ReadyImage:
    """An image, or several of one owner, as the encoders take them: decoded and scaled, so that computing is left.

    Attributes:
        pixels: Of each image, for the image encoder; empty: it is not asked.
        captioned: Of the first, for the captioner; None: it is not asked.
        seen: The first, for a judge; None: none sees it.
    """

    pixels: tuple[Any, ...] = ()
    captioned: Any = None
    seen: Image.Image | None = None

    @classmethod
    def together(cls, images: Sequence[ReadyImage]) -> ReadyImage:
        """Those of one owner, at least one, as one."""
        pixels = tuple(each for image in images for each in image.pixels)
        return cls(pixels, images[0].captioned, images[0].seen)


Span = tuple[int, int]  #: A mention's first character in its text, and one past its last.
ImageInput = str | Path | bytes | Image.Image | ReadyImage
_READYING = Lock()  # users' encoders need not be made for threads


@dataclass(frozen=True)
class LiveEncoder:
    """Encodes what a caller gives by the rules of a dataset's fields.

    Attributes:
        choices: What is read, and by which encoders.
        batch_size: Texts or images an encoder call.
    """

    choices: Choices
    batch_size: int = 64

    @property
    def cuts_contexts(self) -> bool:
        """Whether a context is cut around its mention, where the encoder would not read that; else its start counts."""
        if self.choices.context_reach != "auto":
            return self.choices.context_reach is not None
        encoder = self.choices.text_encoder
        return encoder is not None and encoder.reading("mention").are_cut([]) is not None

    @property
    def draft_side(self) -> int | None:
        """To which images may be decoded (`dim.images.reading.load_image`)."""
        encoder = self.choices.image_encoder
        return encoder.draft_side if encoder is not None else None

    def ready(self, image: Image.Image, wanted: Sequence[str]) -> ReadyImage:
        """A decoded image as the encoders of the wanted fields take it; another thread may do it than computes."""
        encoder = self.choices.image_encoder if "image" in wanted else None
        captioner = self.choices.captioner if "caption" in wanted else None
        with _READYING:
            return ReadyImage(
                (encoder.preprocess(image),) if encoder is not None else (),
                captioner.preprocess(image) if captioner is not None else None,
            )

    def mentions(
        self,
        names: Sequence[str],
        contexts: Sequence[str],
        images: Sequence[ReadyImage | None],
        wanted: Sequence[str],
        spans: Sequence[Span | None] | None = None,
    ) -> Batch:
        """The wanted fields (`mention`, `context`, `caption`, `image`, `spelling`) of mentions [n].

        What encoders give is not checked: who asks knows whose question it is of (`dim.linker.answer.check_finite`).

        Args:
            names: The mentions.
            contexts: Their texts, empty where there is none.
            images: Their images, as `ready` gives them of the same wanted fields.
            wanted: The fields that a model reads.
            spans: Where each mention stands in its text; None: at the first place of its name.
        """
        captions: list[str | None] = [None] * len(names)
        if "caption" in wanted and self.choices.captioner is not None:
            captions = self._captions(names, images)
        places = [span or (None, None) for span in spans] if spans is not None else [(None, None)] * len(names)
        given = _Given(mention=names, context=contexts, caption=captions).at(places)
        tables = self._tables("mention", given, images, wanted)
        return batch_of(tables, torch.arange(len(names)))

    def entities(
        self,
        names: Sequence[str],
        texts: Sequence[str | None],
        images: Sequence[ReadyImage | None],
        wanted: Sequence[str],
    ) -> Batch:
        """The wanted fields (`name`, `text`, `image`, `spelling`) of entities [n].

        Raises:
            DataError: An encoder gives NaN or infinity of one.
        """
        tables = self._tables("entity", _Given(name=names, text=texts), images, wanted)
        batch = batch_of(tables, torch.arange(len(names)))
        for field, (vectors, _) in batch.fields.items():
            is_finite = vectors.isfinite().flatten(1).all(dim=1)
            if not is_finite.all():
                raise DataError(
                    f"finite features of the field {field}",
                    f"NaN or infinity for the entity '{names[int(is_finite.int().argmin())]}'",
                    "Use precision fp32 or bf16; if it stays, leave that entity out.",
                )
        return batch

    def _tables(
        self,
        owner: Owner,
        given: _Given,
        images: Sequence[ReadyImage | None],
        wanted: Sequence[str],
    ) -> dict[str, FeatureTable]:
        fields = [field for field in fields_of(owner) if field.read_as in wanted]
        choices = self.choices
        listed = {inputs: _listed(inputs(given, choices)) for inputs in {f.inputs for f in fields if f.kind == "text"}}
        tables: dict[str, FeatureTable] = {}
        for encoder, kind in ((choices.text_encoder, "text"), (choices.name_encoder, "name")):
            # One call for all fields of an encoder: each different text once.
            texts = {field.read_as: listed[field.inputs] for field in fields if field.encoder == kind}
            if encoder is not None and texts:
                tables |= self._of_texts(encoder.reading(owner), texts)
        if choices.image_encoder is not None and any(field.kind == "image" for field in fields):
            tables["image"] = self._of_images(choices.image_encoder, images)
        return tables

    def _of_texts(self, encoder: TextEncoder, fields: Mapping[str, list[str | None]]) -> dict[str, FeatureTable]:
        unique = sorted({text for texts in fields.values() for text in texts if text is not None}, key=len)
        parts = [features for _, features in encoded_texts(encoder, unique, self._batches(len(unique)))]
        matrix = _joined(parts, encoder.width)
        counts = encoder.num_vectors(unique)
        place: dict[str | None, int] = {text: row for row, text in enumerate(unique)}
        return {name: _table(matrix, [place.get(text, -1) for text in texts], counts) for name, texts in fields.items()}

    def _of_images(self, encoder: ImageEncoder, images: Sequence[ReadyImage | None]) -> FeatureTable:
        most = self.choices.num_images
        unique = {id(image): image for image in images if image is not None}  # each different image once
        pixels = [pixels for image in unique.values() for pixels in image.pixels[:most]]
        every = [("all", pixels)] if pixels else []
        matrix = _joined([features for _, features in encoded_images(encoder, every, self.batch_size)], encoder.width)
        counts = None
        if most > 1 or encoder.num_patches > 1:
            used = [len(image.pixels[:most]) for image in unique.values()]
            counts = encoder.num_patches * np.array(used, np.int64)
        place = {key: row for row, key in enumerate(unique)}
        return _table(matrix, [-1 if image is None else place[id(image)] for image in images], counts)

    def _batches(self, count: int) -> list[range]:
        return [range(count)[start : start + self.batch_size] for start in range(0, count, self.batch_size)]

    def _captions(self, names: Sequence[str], images: Sequence[ReadyImage | None]) -> list[str | None]:
        captioner = self.choices.captioner
        assert captioner is not None
        questions = render_questions(captioner.question, names)
        captions: list[str | None] = [None] * len(names)
        present = [place for place, image in enumerate(images) if image is not None]
        for start in range(0, len(present), self.batch_size):
            places = present[start : start + self.batch_size]
            inputs = [image.captioned for place in places if (image := images[place]) is not None]
            for place, caption in zip(places, captioner.caption(inputs, [questions[p] for p in places]), strict=True):
                captions[place] = caption
        return captions


class _Given:
    """What a caller gave, as fields find it in a dataset (`dim.features.fields.Columns`)."""

    def __init__(self, **columns: Sequence[str | None]) -> None:
        self._columns = {name: pa.chunked_array([pa.array(texts, pa.string())]) for name, texts in columns.items()}

    def at(self, places: Sequence[Span | tuple[None, None]]) -> _Given:
        """The same with the offsets of each mention."""
        for name, offsets in (("start", [start for start, _ in places]), ("end", [end for _, end in places])):
            self._columns[name] = pa.chunked_array([pa.array(offsets, pa.int64())])
        return self

    def column(self, _: str, name: str) -> pa.ChunkedArray:
        return self._columns[name]

    def text_column(self, _: str) -> pa.ChunkedArray:
        return self.column("entities", "text")


def _listed(texts: Any) -> list[str | None]:
    found: list[str | None] = texts.to_pylist() if hasattr(texts, "to_pylist") else list(texts)
    return found


def _joined(parts: Sequence[Features], width: int) -> Features:
    """One matrix; a row of zeros where there is no part, as nothing is taken from it."""
    return np.concatenate(parts) if parts else np.zeros((1, width), np.float32)


def _table(matrix: Features, rows: list[int], counts: NDArray[np.int64] | None = None) -> FeatureTable:
    table = FeatureTable(torch.from_numpy(matrix), torch.tensor(rows, dtype=torch.long))
    if counts is not None and len(counts):
        table.starts, table.lengths = (torch.from_numpy(each) for each in (np.cumsum(counts) - counts, counts))
    return table
