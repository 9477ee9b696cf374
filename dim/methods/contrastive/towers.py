"""The vectors of what stands in no dataset, by the towers of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from dim.core.progress import shown
from dim.data.entity import Entity
from dim.data.missing_images import MAX_MISSING_IMAGES, NamedImages, check_images, missing_sentence
from dim.display.log import log
from dim.errors import DataError
from dim.features.batch import Batch
from dim.features.live import LiveEncoder, ReadyImage
from dim.inference.two_towers import TwoTowersNetwork
from dim.linker.answer import Question, check_finite
from dim.linker.images import WITHOUT_IMAGES, ImageReader, encoded_questions
from dim.linker.knowledge import Knowledge
from dim.linker.linker import BATCH
from dim.linker.recipe import fitting_fields, load_weights

LOG = log("dim")

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
        """Whether a mention's image counts: it is encoded, or described by a captioner."""
        fields = self.task.field_widths[0]
        return "image" in fields or ("caption" in fields and self.live.choices.captioner is not None)

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
        batch = encoded_questions(questions, self.live, self.image_reader, self.reads_images, tuple(widths))
        vectors = _unit(self.task.encode_mentions(batch.filled(widths, len(questions), self.task.device)))
        for place, vector in enumerate(vectors):
            check_finite(place, vector, "vectors of a question")
        return vectors

    def of_knowledge(self, knowledge: Knowledge) -> Vectors:
        """Unit vectors [n, width] of a whole KB, in the order of its rows.

        Images that cannot be used are counted and left out, as they are where a run embeds a dataset.

        Raises:
            DataError: More than a quarter of the images cannot be used.
        """
        each, parts, tried = iter(knowledge), list[Vectors](), list[str]()
        num_named = 0
        with shown("entities", len(knowledge), passing=True) as advance:
            while entities := list(islice(each, BATCH)):
                images = [self._usable_image(entity, tried) for entity in entities]
                num_named += sum(bool(entity.images) for entity in entities)
                parts.append(self.entities(entities, images))
                advance(len(entities))
        if tried:
            found = NamedImages("entity", num_named, {"unreadable": len(tried)}, tried)
            check_images(found, MAX_MISSING_IMAGES, None, WITHOUT_IMAGES)
            LOG.warning("%s; first: %s", missing_sentence({"entity": found.as_json()}), tried[0])
        return np.concatenate(parts)

    def _usable_image(self, entity: Entity, tried: list[str]) -> ReadyImage | None:
        """The image of an entity, where the towers read any; one that cannot be used is noted in `tried`."""
        try:
            return self._image(entity)
        except DataError:
            tried.append(entity.images[0])
            return None

    def _image(self, entity: Entity) -> ReadyImage | None:
        widths = self.task.field_widths[1]
        return ImageReader(self.live, tuple(widths)).open(entity.images) if "image" in widths else None

    @torch.inference_mode()
    def entities(self, entities: Sequence[Entity], images: Sequence[ReadyImage | None] | None = None) -> Vectors:
        """Unit vectors [n, width] of entities; zeros for one of which the towers read nothing.

        Args:
            entities: [n].
            images: Theirs, opened; None: they are opened here.

        Raises:
            DataError: An entity has images, and none can be used.
        """
        widths = self.task.field_widths[1]
        batch = self.live.entities(
            [entity.name for entity in entities],
            [entity.text for entity in entities],
            images if images is not None else [self._image(entity) for entity in entities],
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
    with fitting_fields():
        with torch.device("meta"):  # the weights say whether these widths are theirs, before they take any memory
            task.make_towers(facts["mention_fields"], facts["entity_fields"])
        own = task.state_dict()
        load_weights(task, {name: value for name, value in weights.items() if name in own or not _trains(task, name)})
        task.eval().requires_grad_(False)
        with torch.inference_mode():  # whatever the options are, they encode something
            query = task.encode_mentions(Batch.zeros(facts["mention_fields"]))
            entity = task.encode_entities(Batch.zeros(facts["entity_fields"]))
        if query.shape != entity.shape or query.shape[1] < task.num_sparse:
            raise ValueError(f"queries {list(query.shape)} and entities {list(entity.shape)}")
    return query.shape[1]


def _trains(task: TwoTowersNetwork, weight: str) -> bool:
    """Whether a weight is of what only training needs, such as the scale of a loss: a run's linker saves it, too."""
    return weight.partition(".")[0] in task.training_only
