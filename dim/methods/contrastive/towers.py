"""The vectors of what stands in no dataset, by the towers of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from dim.data.entity import Entity
from dim.errors import DataError
from dim.features.batch import Batch, FieldVectors
from dim.features.live import LiveEncoder
from dim.inference.two_towers import TwoTowersNetwork, Widths
from dim.linker.answer import Question, check_finite
from dim.linker.images import ImageReader, question_images
from dim.linker.recipe import SAVE_AGAIN, load_weights

Vectors = NDArray[np.float32]


class Towers:
    """Encodes questions and entities into one space.

    Args:
        task: With its weights, in evaluation mode.
        live: The encoders that it was trained with.
    """

    def __init__(self, task: TwoTowersNetwork, live: LiveEncoder) -> None:
        self.task, self.live = task, live

    @property
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""
        return bool({"image", "caption"} & set(self.task.field_widths[0]))

    @property
    def image_reader(self) -> ImageReader:
        """Makes the images of mentions ready."""
        return ImageReader(self.live, tuple(self.task.field_widths[0]))

    @torch.inference_mode()
    def queries(self, questions: Sequence[Question]) -> Vectors:
        """Unit vectors [n, width] of questions.

        Raises:
            DataError: As `question_images`; or what the encoders say of a question is not finite.
        """
        widths = self.task.field_widths[0]
        batch = self.live.mentions(
            [question.mention for question in questions],
            [question.context for question in questions],
            question_images(questions, self.image_reader, self.reads_images),
            tuple(widths),
            [question.span for question in questions],
        )
        vectors = _unit(self.task.encode_mentions(batch.filled(widths, len(questions), self.task.device)))
        for place, vector in enumerate(vectors):
            check_finite(place, vector, "vectors of a question")
        return vectors

    @torch.inference_mode()
    def entities(self, entities: Sequence[Entity]) -> Vectors:
        """Unit vectors [n, width] of entities; zeros for one of which the towers read nothing.

        Raises:
            DataError: An entity has images, and none can be used.
        """
        widths = self.task.field_widths[1]
        reader = ImageReader(self.live, tuple(widths)) if "image" in widths else None
        batch = self.live.entities(
            [entity.name for entity in entities],
            [entity.text for entity in entities],
            [reader.open(entity.images) if reader is not None else None for entity in entities],
            tuple(widths),
        )
        return _unit(self.task.encode_entities(batch.filled(widths, len(entities), self.task.device)))


def _unit(vectors: torch.Tensor) -> Vectors:
    unit: Vectors = normalize(vectors).float().cpu().numpy()
    return unit


def tower_facts(task: TwoTowersNetwork) -> dict[str, Any]:
    """What `TwoTowersNetwork.make_towers` needs beside the weights."""
    return dict(zip(("mention_fields", "entity_fields"), task.field_widths, strict=True))


def make_towers(task: TwoTowersNetwork, facts: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> int:
    """Gives a model its towers with their weights; returns the columns of its vectors.

    Raises:
        DataError: The weights are not those of such towers.
    """
    try:
        with torch.device("meta"):  # the weights say whether these widths are theirs, before they take any memory
            task.make_towers(facts["mention_fields"], facts["entity_fields"])
        own = task.state_dict()
        load_weights(task, {name: value for name, value in weights.items() if name in own or not _trains(task, name)})
        task.eval().requires_grad_(False)
        with torch.inference_mode():  # whatever the options are, they encode something
            query = task.encode_mentions(_nothing(facts["mention_fields"]))
            entity = task.encode_entities(_nothing(facts["entity_fields"]))
        if query.shape != entity.shape or query.shape[1] < task.num_sparse:
            raise ValueError(f"queries {list(query.shape)} and entities {list(entity.shape)}")
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError) as error:  # torch's own
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise DataError("the fields of a linker, their widths and its model's options", found, SAVE_AGAIN) from error
    return query.shape[1]


def _trains(task: TwoTowersNetwork, weight: str) -> bool:
    """Whether a weight is of what only training needs, such as the scale of a loss: a run's linker saves it, too."""
    return weight.partition(".")[0] in task.training_only


def _nothing(widths: Widths) -> Batch:
    mask = torch.ones(1, 1, dtype=torch.bool)
    return Batch({name: FieldVectors(torch.zeros(1, 1, width), mask) for name, width in widths.items()})
