"""The linker of a MIMIC run: its units and names bring candidates, a ranker orders them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dim.core.arrays import Rows
from dim.core.sealed import open_sealed, seal
from dim.data.entity import Entity
from dim.features.live import LiveEncoder
from dim.inference.method import Method
from dim.linker.answer import Question, check_finite
from dim.linker.by_column import ByColumn
from dim.linker.card import encoder_names, model_card
from dim.linker.entity_table import read_entities, write_entities
from dim.linker.figures import about_run
from dim.linker.folder import MANIFEST, REMEDY, check_fingerprints, read_weights
from dim.linker.images import ImageReader, encoded_questions
from dim.linker.knowledge import Knowledge, knowledge_of
from dim.linker.linker import BATCH
from dim.linker.manifest import MIMICManifest
from dim.linker.method_files import check_classes, write_method
from dim.linker.ranked import NAMES, RankedLinker, card_of_ranker, names_by_row, ranker_row, read_names, read_ranker
from dim.linker.recipe import check_widths, located, make, recipe_of_run
from dim.linker.run_ranker import ranker_of_run
from dim.methods.mimic.entity_cache import EntityCache, joined
from dim.methods.mimic.folder import PARTS, made, read_cache, write_cache
from dim.methods.mimic.interactions import Interactions
from dim.methods.mimic.network import MIMICNetwork
from dim.methods.mimic.parts import EntityParts, MentionParts
from dim.reranker.entities import EntityFacts
from dim.reranker.ranker import Ranker
from dim.search.entity_names import EntityNames
from dim.search.vector_index import KindOrAuto

FORMAT = 1


class MIMICLinker(RankedLinker):
    """Links mentions by MIMIC's units, which look at every entity's tokens, and by its run's ranker, if any.

    Args:
        task: The method, with its weights, in evaluation mode.
        live: The encoders that it was trained with.
        knowledge: The KB.
        cache: The parts of its entities, in the order of its rows.
        names: Of its names and aliases, by row.
        ranker: Orders the candidates; None: the units' scores do.
        about: What it comes from; JSON.
        facts: As of `RankedLinker`.
    """

    method = MIMICNetwork
    content = "MIMIC linker"
    score_name = "score"

    def __init__(
        self,
        task: MIMICNetwork,
        live: LiveEncoder,
        knowledge: Knowledge,
        cache: EntityCache,
        names: EntityNames,
        ranker: Ranker | None,
        about: dict[str, Any],
        facts: EntityFacts | None = None,
    ) -> None:
        super().__init__(knowledge, live, about, names, ranker, facts)
        self.task = task
        # What is added later stands beside what may be mapped, and is joined when it is written.
        self._caches = [cache.to(task.device)]
        self._rows = knowledge.rows  # by place in the caches
        self._is_there = np.ones(len(self._rows), dtype=np.bool_)

    @classmethod
    def of_run(cls, task: Method, run: Path, index: KindOrAuto = "auto") -> MIMICLinker:
        """The linker of an opened run, with the ranker that `dim rank` left there; no vectors are searched."""
        assert isinstance(task, MIMICNetwork)
        data = task.data
        knowledge = knowledge_of(data.dataset.entities, data.texts, data.dataset.image_root)
        ranker = ranker_of_run(run, task)
        about = about_run(task, run, recipe_of_run(run, type(task)), ranker, by="scores")
        live = LiveEncoder(task.datamodule.choices)
        return cls(task, live, knowledge, task.cache, names_by_row(knowledge), ranker, about)

    @classmethod
    def read(
        cls, folder: Path, device: str, trusted: Sequence[str] = (), image_root: str | Path | None = None
    ) -> MIMICLinker:
        """As of `Linker`."""
        manifest = open_sealed(folder, cls.content, FORMAT, MANIFEST, REMEDY, MIMICManifest)
        recipe = located(manifest["about"]["recipe"], folder, manifest["files"])
        about = manifest["about"] | {"recipe": recipe}  # a later `write` finds the encoders' files
        task, live = make(recipe, device, MIMICNetwork, trusted)
        task.check()
        like = made(task, manifest["fields"], read_weights(folder / "model.safetensors"))
        check_widths(live, manifest["fields"])
        check_fingerprints(manifest["fingerprints"], live.choices.encoders)
        knowledge = read_entities(folder, manifest["next_row"], image_root)
        names = read_names(folder, knowledge)
        cache = read_cache(folder / PARTS, like, len(knowledge))
        ranker, facts = read_ranker(folder, knowledge)
        return cls(task, live, knowledge, cache, names, ranker, about, facts)

    def write(self, place: Path, about: dict[str, Any]) -> None:
        """As of `Linker`."""
        check_classes(about, MIMICNetwork)
        cache = self._caches[0]
        if len(self._caches) > 1 or not self._is_there.all():
            cache = joined(self._caches).take(torch.from_numpy(np.flatnonzero(self._is_there)))
        write_entities(self.knowledge, place, about.get("images", "paths"))
        write_cache(cache, place / PARTS)
        self.names.save(place / NAMES)
        self.write_ranker(place)
        mention, entity = self.task.field_widths
        facts: dict[str, Any] = {
            "next_row": self.knowledge.next_row,
            "fields": {"mention_fields": mention, "entity_fields": entity},
            **write_method(place, self.task, self.live, about, MIMICNetwork),
        }
        rows = {
            "encoders": encoder_names(about),
            "kept of the KB": f"{self.task.cache_type}, {cache.nbytes / 1e6:,.1f} MB",
            **ranker_row(self.ranker),
        }
        card = model_card(about, self.knowledge, rows, by="scores", **card_of_ranker(self.ranker))
        (place / "README.md").write_text(card, encoding="utf-8")
        seal(place, self.content, FORMAT, facts, MANIFEST)

    @property
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""
        return "image" in self.task.widths

    @property
    def image_reader(self) -> ImageReader:
        """Makes the images of questions ready."""
        return ImageReader(self.live, tuple(self.task.field_widths[0]))

    def _add_scored(self, rows: Rows, entities: list[Entity]) -> None:
        starts = range(0, len(entities), BATCH)
        parts = [self._entities(entities[start : start + BATCH]) for start in starts]
        added = EntityCache.of(parts, self.task.cache_type)
        further = [joined([*self._caches[1:], added])] if len(self._caches) > 1 else [added]
        self._caches = [self._caches[0], *further]
        self._rows = np.concatenate([self._rows, rows])
        self._is_there = np.concatenate([self._is_there, np.ones(len(rows), dtype=np.bool_)])

    def _remove_scored(self, rows: Rows) -> None:
        self._is_there &= ~np.isin(self._rows, rows)

    def _score(self, questions: Sequence[Question]) -> ByColumn:
        places = np.flatnonzero(self._is_there)
        mentions = self._mentions(questions)
        for place in range(len(questions)):
            for part in mentions.some(torch.tensor([place])).tensors():
                check_finite(place, part.cpu().numpy(), "what the encoders say of a question")
        scores = Interactions(self.task.matcher, mentions, self._caches, torch.from_numpy(places))
        return ByColumn(scores.held(), self._rows[places])

    @torch.inference_mode()
    def _mentions(self, questions: Sequence[Question]) -> MentionParts:
        """The parts of questions. Raises QuestionError as `question_images`."""
        widths = self.task.field_widths[0]
        batch = encoded_questions(questions, self.live, self.image_reader, self.reads_images, tuple(widths))
        return self.task.mention_parts(batch.filled(widths, len(questions), self.task.device))

    @torch.inference_mode()
    def _entities(self, entities: Sequence[Entity]) -> EntityParts:
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
