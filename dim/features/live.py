"""Features of mentions and entities that stand in no dataset: given by a caller, encoded now, kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from dim.encoders.base import Captioner, Features, ImageEncoder, TextEncoder
from dim.errors import DataError
from dim.features.captions import render_questions
from dim.features.fields import FIELDS, Choices
from dim.images.reading import UnusableImageError, decode_image, load_image, upright_rgb


@dataclass(frozen=True, eq=False)
class ReadyImage:
    """An image as the encoders take it: decoded and scaled, so that nothing but computing is left.

    Attributes:
        pixels: For the image encoder; None: it is not asked.
        captioned: For the captioner; likewise.
    """

    pixels: Any = None
    captioned: Any = None


ImageInput = str | Path | bytes | Image.Image | ReadyImage
_READYING = Lock()  # users' encoders need not be made for threads
Encoded = dict[str, tuple[Tensor, Tensor]]  #: Field → values [n, width] (zeros where missing), mask [n].


@dataclass(frozen=True)
class LiveEncoder:
    """Encodes what a caller gives by the rules of a dataset's fields.

    Attributes:
        text_encoder: For mentions, contexts, captions, names and entity texts; None: no such field.
        image_encoder: For the images of both.
        name_encoder: For the spelling of mentions and names.
        captioner: Says what a mention's image shows.
        context_template: What is encoded as the context.
        batch_size: Texts or images an encoder call.
    """

    text_encoder: TextEncoder | None = None
    image_encoder: ImageEncoder | None = None
    name_encoder: TextEncoder | None = None
    captioner: Captioner | None = None
    context_template: str = "{mention} [SEP] {context}"
    batch_size: int = 64

    @property
    def draft_side(self) -> int | None:
        """To which images may be decoded (`dim.images.reading.load_image`)."""
        return self.image_encoder.draft_side if self.image_encoder is not None else None

    def ready(self, image: Image.Image, wanted: Sequence[str]) -> ReadyImage:
        """A decoded image as the encoders of the wanted fields take it; another thread may do it than computes."""
        encoder = self.image_encoder if {"image", "entity_image"} & set(wanted) else None
        captioner = self.captioner if "caption" in wanted else None
        with _READYING:
            return ReadyImage(
                encoder.preprocess(image) if encoder is not None else None,
                captioner.preprocess(image) if captioner is not None else None,
            )

    def mentions(
        self, names: Sequence[str], contexts: Sequence[str], images: Sequence[ReadyImage | None], wanted: Sequence[str]
    ) -> Encoded:
        """The wanted fields (`mention`, `context`, `caption`, `image`, `spelling`) of mentions [n].

        Args:
            names: The mentions.
            contexts: Their texts, empty where there is none.
            images: Their images, as `ready` gives them of the same wanted fields.
            wanted: The fields that a model reads.
        """
        captions: list[str | None] = [None] * len(names)
        if "caption" in wanted and self.captioner is not None:
            captions = self._captions(names, images)
        table = _table(mention=names, context=contexts, caption=captions)
        return self._encode("mention", table, images, wanted)

    def entities(
        self,
        names: Sequence[str],
        texts: Sequence[str | None],
        images: Sequence[ReadyImage | None],
        wanted: Sequence[str],
    ) -> Encoded:
        """The wanted fields (`name`, `text`, `entity_image`, `name_spelling`) of entities [n].

        Raises:
            DataError: An encoder gives NaN or infinity of one; of mentions who asks looks, question by question.
        """
        encoded = self._encode("entity", _table(name=names, text=texts), images, wanted)
        for field, (values, _) in encoded.items():
            is_finite = values.isfinite().all(dim=1)
            if not is_finite.all():
                raise DataError(
                    f"finite features of the field {field}",
                    f"NaN or infinity for the entity '{names[int(is_finite.int().argmin())]}'",
                    "Use precision fp32 or bf16; if it stays, leave that entity out.",
                )
        return encoded

    def _encode(
        self, owner: str, table: pa.Table, images: Sequence[ReadyImage | None], wanted: Sequence[str]
    ) -> Encoded:
        given, choices = _Given(table), Choices(context_template=self.context_template)
        fields = [field for field in FIELDS if field.owner == owner and field.name in wanted]
        texts = {f: _listed(f.inputs(given, choices)) for f in fields if f.kind == "text"}  # type: ignore[arg-type]
        encoded: Encoded = {}
        for encoder, kind in ((self.text_encoder, "text"), (self.name_encoder, "name")):
            # One call for all fields of an encoder: each different text once.
            of_encoder = {field.name: found for field, found in texts.items() if field.encoder == kind}
            if encoder is not None and of_encoder:
                encoded |= self._texts(encoder, of_encoder)
        if self.image_encoder is not None:
            encoded |= {field.name: self._images(images) for field in fields if field.kind == "image"}
        return encoded

    def _texts(self, encoder: TextEncoder, fields: Mapping[str, list[str | None]]) -> Encoded:
        unique = sorted({text for texts in fields.values() for text in texts if text is not None}, key=len)
        batches = [unique[start : start + self.batch_size] for start in range(0, len(unique), self.batch_size)]
        parts = [encoder.encode_text(batch) for batch in batches]
        matrix = np.concatenate([np.zeros((1, encoder.width), np.float32), *parts])
        place = {text: row for row, text in enumerate(unique, start=1)}
        return {
            name: _rows(matrix, [0 if text is None else place[text] for text in texts])
            for name, texts in fields.items()
        }

    def _images(self, images: Sequence[ReadyImage | None]) -> tuple[Tensor, Tensor]:
        encoder = self.image_encoder
        assert encoder is not None
        unique = {id(image): image for image in images if image is not None}  # each different image once
        present = list(unique.values())
        parts: list[Features] = []
        for start in range(0, len(present), self.batch_size):
            pixels = np.stack([image.pixels for image in present[start : start + self.batch_size]])
            parts.append(encoder.encode_image(encoder.to_device(pixels)))
        matrix = np.concatenate([np.zeros((1, encoder.width), np.float32), *parts])
        row = {key: place for place, key in enumerate(unique, start=1)}
        return _rows(matrix, [0 if image is None else row[id(image)] for image in images])

    def _captions(self, names: Sequence[str], images: Sequence[ReadyImage | None]) -> list[str | None]:
        captioner = self.captioner
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


class Decode(Protocol):
    """Decodes an image: the bytes of a file, or the file at a path, or a region of it."""

    def __call__(self, image: bytes | str | Path, draft_side: int | None) -> Image.Image:
        """The image as RGB. Raises UnusableImageError where by the rules it counts as missing."""


def decode_here(image: bytes | str | Path, draft_side: int | None) -> Image.Image:
    """The image, decoded in this process; `dim.images.decoders` does the same in others."""
    if isinstance(image, bytes):
        return decode_image(image, draft_side)
    path = Path(image)
    return load_image(path, Path(path.absolute().anchor), draft_side)  # whoever calls may name any file


def open_image(
    image: str | Path | bytes | Image.Image, draft_side: int | None = None, decode: Decode = decode_here
) -> Image.Image:
    """An image given as a path, as the bytes of a file, or opened, as RGB by the rules of `dim.images.reading`.

    Raises:
        UnusableImageError: By these rules it counts as missing.
    """
    return _whole(image) if isinstance(image, Image.Image) else decode(image, draft_side)


def _whole(image: Image.Image) -> Image.Image:
    if not min(image.size):
        raise UnusableImageError("too narrow")
    try:
        return upright_rgb(image)
    except (UnusableImageError, MemoryError):
        raise
    except Exception as error:  # Pillow reads pixels late: a truncated file is found out here
        raise UnusableImageError("unreadable") from error


class _Given:
    """Looks like a dataset to the fields' rules."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def column(self, _: str, name: str) -> Any:
        return self._table[name]

    def text_column(self, _: str) -> Any:
        return self._table["text"]


def _listed(texts: Any) -> list[str | None]:
    found: list[str | None] = texts.to_pylist() if hasattr(texts, "to_pylist") else list(texts)
    return found


def _table(**columns: Sequence[str | None]) -> pa.Table:
    return pa.table({name: pa.array(texts, pa.string()) for name, texts in columns.items()})


def _rows(matrix: Features, rows: list[int]) -> tuple[Tensor, Tensor]:
    """Rows of a matrix whose row 0 stands for what is missing."""
    place = torch.tensor(rows, dtype=torch.long)
    return torch.from_numpy(matrix)[place], place > 0
