"""The vectors of what stands in no dataset, by the towers of a contrastive run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from dim.errors import DataError
from dim.features.live import LiveEncoder
from dim.linker.answer import Question, check_finite
from dim.linker.images import ImageReader, question_images
from dim.linker.knowledge import KnownEntity
from dim.linker.recipe import SAVE_AGAIN, load_weights
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


def tower_facts(task: DIM) -> dict[str, Any]:
    """What `DIM.make_towers` needs beside the weights."""
    mention, entity = task.field_widths
    return {"mention_fields": mention, "entity_fields": entity, "has_spelling": task.spelling is not None}


def make_towers(task: DIM, facts: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
    """Gives a model its towers with their weights.

    Raises:
        DataError: The weights are not those of such towers.
    """
    rarity = weights.get("spelling.rarity", torch.empty(0))
    try:
        with torch.device("meta"):  # the weights say whether these widths are theirs, before they take any memory
            frequency = torch.ones(rarity.shape) if facts["has_spelling"] else None
            task.make_towers(facts["mention_fields"], facts["entity_fields"], frequency)
        load_weights(task, weights)
        task.eval().requires_grad_(False)
        with torch.inference_mode():  # whatever the options are, they encode something
            query = task.encode_mentions(_nothing(facts["mention_fields"]))
            entity = task.encode_entities(_nothing(facts["entity_fields"]))
        if query.shape != entity.shape:
            raise ValueError(f"queries {list(query.shape)} and entities {list(entity.shape)}")
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError) as error:  # torch's own
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise DataError("the fields of a linker, their widths and its model's options", found, SAVE_AGAIN) from error


def _nothing(widths: Mapping[str, int]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    return {name: (torch.zeros(1, width), torch.ones(1, dtype=torch.bool)) for name, width in widths.items()}
