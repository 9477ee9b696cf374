"""The parts of what stands in no dataset: questions, and entities that are added."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dim.data.entity import Entity
from dim.features.live import LiveEncoder
from dim.linker.answer import Question
from dim.linker.images import ImageReader, encoded_questions
from dim.methods.mimic.network import MIMICNetwork
from dim.methods.mimic.parts import EntityParts, MentionParts


class Asked:
    """Encodes questions and entities as the method reads them.

    Args:
        task: With its weights, in evaluation mode.
        live: The encoders that it was trained with.
    """

    def __init__(self, task: MIMICNetwork, live: LiveEncoder) -> None:
        self.task, self.live = task, live

    @property
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""
        return "image" in self.task.widths

    @property
    def image_reader(self) -> ImageReader:
        """Makes the images of mentions ready."""
        return ImageReader(self.live, tuple(self.task.field_widths[0]))

    @torch.inference_mode()
    def mentions(self, questions: Sequence[Question]) -> MentionParts:
        """The parts of questions. Raises QuestionError as `question_images`."""
        widths = self.task.field_widths[0]
        batch = encoded_questions(questions, self.live, self.image_reader, self.reads_images, tuple(widths))
        return self.task.mention_parts(batch.filled(widths, len(questions), self.task.device))

    @torch.inference_mode()
    def entities(self, entities: Sequence[Entity]) -> EntityParts:
        """The parts of entities. Raises DataError where one has images, and none can be used."""
        widths = self.task.field_widths[1]
        reader = ImageReader(self.live, tuple(widths))
        batch = self.live.entities(
            [entity.name for entity in entities],
            [entity.text for entity in entities],
            [reader.open(entity.images) if self.reads_images else None for entity in entities],
            tuple(widths),
        )
        return self.task.entity_parts(batch.filled(widths, len(entities), self.task.device))
