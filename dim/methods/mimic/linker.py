"""The linker of a MIMIC run: its units and names bring candidates, a ranker orders them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dim.core.arrays import Rows
from dim.data.entity import Entity
from dim.inference.method import Method
from dim.linker.answer import Question, check_finite
from dim.linker.by_column import ByColumn
from dim.linker.figures import about_run
from dim.linker.images import ImageReader
from dim.linker.knowledge import Knowledge, knowledge_of
from dim.linker.linker import BATCH
from dim.linker.ranked import RankedLinker, names_by_row
from dim.linker.recipe import recipe_of_run
from dim.linker.run_ranker import ranker_of_run
from dim.linker.sources import live_encoder
from dim.methods.mimic.asked import Asked
from dim.methods.mimic.entity_cache import EntityCache, joined
from dim.methods.mimic.folder import CONTENT, read, write
from dim.methods.mimic.interactions import Interactions
from dim.methods.mimic.network import MIMICNetwork
from dim.reranker.entities import EntityFacts
from dim.reranker.ranker import Ranker
from dim.search.entity_names import EntityNames
from dim.search.vector_index import KindOrAuto


class MIMICLinker(RankedLinker):
    """Links mentions by MIMIC's units, which look at every entity's tokens, and by its run's ranker, if any.

    Args:
        asked: The encoders and the network.
        knowledge: The KB.
        cache: The parts of its entities, in the order of its rows.
        names: Of its names and aliases, by row.
        ranker: Orders the candidates; None: the units' scores do.
        about: What it comes from; JSON.
        facts: As of `RankedLinker`.
    """

    method = MIMICNetwork
    content = CONTENT
    score_name = "score"

    def __init__(
        self,
        asked: Asked,
        knowledge: Knowledge,
        cache: EntityCache,
        names: EntityNames,
        ranker: Ranker | None,
        about: dict[str, Any],
        facts: EntityFacts | None = None,
    ) -> None:
        super().__init__(knowledge, asked.live, about, names, ranker, facts)
        self.asked = asked
        # What is added later stands beside what may be mapped, and is joined when it is written.
        self._caches = [cache.to(asked.task.device)]
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
        asked = Asked(task, live_encoder(task.datamodule))
        return cls(asked, knowledge, task.cache, names_by_row(knowledge), ranker, about)

    @classmethod
    def read(
        cls, folder: Path, device: str, trusted: Sequence[str] = (), image_root: str | Path | None = None
    ) -> MIMICLinker:
        """As of `Linker`."""
        return cls(*read(folder, device, trusted, image_root))

    def write(self, place: Path, about: dict[str, Any]) -> None:
        """As of `Linker`."""
        cache = self._caches[0]
        if len(self._caches) > 1 or not self._is_there.all():
            cache = joined(self._caches).take(torch.from_numpy(np.flatnonzero(self._is_there)))
        parts = self.asked, self.knowledge, cache, self.names, self.ranker
        write(place, *parts, about, self.write_ranker)

    @property
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""
        return self.asked.reads_images

    @property
    def image_reader(self) -> ImageReader:
        """Makes the images of questions ready."""
        return self.asked.image_reader

    def _add_scored(self, rows: Rows, entities: list[Entity]) -> None:
        starts = range(0, len(entities), BATCH)
        parts = [self.asked.entities(entities[start : start + BATCH]) for start in starts]
        added = EntityCache.of(parts, self.asked.task.cache_type)
        further = [joined([*self._caches[1:], added])] if len(self._caches) > 1 else [added]
        self._caches = [self._caches[0], *further]
        self._rows = np.concatenate([self._rows, rows])
        self._is_there = np.concatenate([self._is_there, np.ones(len(rows), dtype=np.bool_)])

    def _remove_scored(self, rows: Rows) -> None:
        self._is_there &= ~np.isin(self._rows, rows)

    def _score(self, questions: Sequence[Question]) -> ByColumn:
        places = np.flatnonzero(self._is_there)
        mentions = self.asked.mentions(questions)
        for place in range(len(questions)):
            for part in mentions.some(torch.tensor([place])).tensors():
                check_finite(place, part.cpu().numpy(), "what the encoders say of a question")
        scores = Interactions(self.asked.task.matcher, mentions, self._caches, torch.from_numpy(places))
        return ByColumn(scores.held(), self._rows[places])
