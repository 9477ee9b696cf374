"""The vectors of what stands in no dataset, by the towers of a contrastive run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from dim.errors import DataError
from dim.features.live import Decode, ImageInput, LiveEncoder, ReadyImage, decode_here, open_image
from dim.images.reading import UnusableImageError
from dim.linker.answer import Question, check_finite, of_question
from dim.linker.knowledge import KnownEntity
from dim.methods.contrastive.module import DIM, Fields
from dim.training.datamodule import ENTITY_FIELDS

Vectors = NDArray[np.float32]


class Towers:
    """Encodes questions and entities into one space.

    Args:
        task: With its weights, in evaluation mode.
        live: The encoders that it was trained with.
    """

    def __init__(self, task: DIM, live: LiveEncoder) -> None:
        self.task, self.live = task, live

    @property
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""
        return bool({"image", "caption"} & set(self.task.field_names[0]))

    @property
    def image_reader(self) -> ImageReader:
        """Makes the images of mentions ready."""
        return ImageReader(self.live, self.task.field_names[0])

    @torch.inference_mode()
    def queries(self, questions: Sequence[Question]) -> Vectors:
        """Unit vectors [n, width] of questions.

        Raises:
            DataError: As `question_images`; or what the encoders say of a question is not finite.
        """
        fields = self.live.mentions(
            [question.mention for question in questions],
            [question.context for question in questions],
            question_images(questions, self.image_reader, self.reads_images),
            self.task.field_names[0],
        )
        vectors = _unit(self.task.encode_mentions(self._filled(fields, self.task.field_widths[0], len(questions))))
        for place, vector in enumerate(vectors):
            check_finite(place, vector, "vectors of a question")
        return vectors

    @torch.inference_mode()
    def entities(self, entities: Sequence[KnownEntity]) -> Vectors:
        """Unit vectors [n, width] of entities; zeros for one of which the towers read nothing.

        Raises:
            DataError: An entity has images, and none can be used.
        """
        wanted = [ENTITY_FIELDS[name] for name in self.task.field_names[1]]
        reader = ImageReader(self.live, wanted) if "entity_image" in wanted else None
        fields = self.live.entities(
            [entity.name for entity in entities],
            [entity.text for entity in entities],
            [reader.open(entity.images) if reader is not None else None for entity in entities],
            wanted,
        )
        named = {name: fields[key] for name, key in ENTITY_FIELDS.items() if key in fields}
        return _unit(self.task.encode_entities(self._filled(named, self.task.field_widths[1], len(entities))))

    def _filled(self, fields: Fields, widths: Mapping[str, int], count: int) -> Fields:
        """All fields that a tower reads, on its device; those that cannot be had here are missing."""
        filled = {}
        for name, width in widths.items():
            values, mask = fields.get(name) or (torch.zeros(count, width), torch.zeros(count, dtype=torch.bool))
            filled[name] = values.to(self.task.device), mask.to(self.task.device)
        return filled


def _unit(vectors: torch.Tensor) -> Vectors:
    unit: Vectors = normalize(vectors).float().cpu().numpy()
    return unit


class ImageReader:
    """Makes images ready for the encoders of some fields.

    Args:
        live: The encoders.
        wanted: The fields.
        decode: Decodes; by default this process.
    """

    def __init__(self, live: LiveEncoder, wanted: Sequence[str], decode: Decode = decode_here) -> None:
        self.live, self.wanted, self.decode = live, wanted, decode

    def open(self, image: ImageInput | Sequence[ImageInput] | None) -> ReadyImage | None:
        """The image of a question or an entity, the first usable one of several.

        Raises:
            DataError: None can be used.
        """
        if image is None or isinstance(image, ReadyImage):
            return image
        if isinstance(image, Sequence) and not isinstance(image, str | bytes):
            for each in image[:-1]:
                with suppress(DataError):
                    return self.open(each)
            return self.open(image[-1]) if image else None
        try:
            return self.live.ready(open_image(image, self.live.draft_side, self.decode), self.wanted)
        except (UnusableImageError, OSError) as error:
            shown = f"{len(image)} bytes" if isinstance(image, bytes) else str(image)
            is_url = isinstance(image, str) and "://" in image
            remedy = "Download it first: no URL is fetched." if is_url else "Give another image, or none."
            raise DataError("an image that can be read", f"{shown}: {error}", remedy) from error


def question_images(questions: Sequence[Question], reader: ImageReader, reads_images: bool) -> list[ReadyImage | None]:
    """The images of questions, as far as a linker reads any; that of a text with many mentions once.

    Raises:
        QuestionError: An image cannot be used, or a question has nothing but an image, which is not read.
    """
    images: dict[int, ReadyImage | None] = {}
    for place, question in enumerate(questions):
        with of_question(place):
            if not reads_images and not question.mention.strip():
                raise DataError("a mention", "an image alone, which this linker does not read", "Give the name.")
            if reads_images and id(question.image) not in images:
                images[id(question.image)] = reader.open(question.image)
    return [images.get(id(question.image)) for question in questions]
