"""The linker of a contrastive run: vectors and names bring candidates, a ranker orders them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.data.entity import Entity
from dim.linker.answer import Question
from dim.linker.figures import about_run
from dim.linker.images import ImageReader
from dim.linker.knowledge import Knowledge, knowledge_of
from dim.linker.linker import BATCH
from dim.linker.ranked import RankedLinker
from dim.linker.recipe import recipe_of_run
from dim.linker.run_ranker import ranker_of_run
from dim.linker.sources import live_encoder
from dim.methods.contrastive.folder import CONTENT, read, write
from dim.methods.contrastive.towers import Towers
from dim.reranker.ranker import Ranker
from dim.search.lexical import EntityNames
from dim.search.vector_index import KindOrAuto, VectorIndex
from dim.training.task import LinkingTask
from dim.training.two_towers import TwoTowers

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ByVector:
    """Scores by cosine (`dim.linker.ranked.Scored`).

    Attributes:
        queries: [n, width], unit vectors of questions.
        index: Of the KB's.
    """

    queries: NDArray[np.float32]
    index: VectorIndex

    def nearest(self, count: int) -> list[Rows]:
        """By approximate search, where the index is of such a kind."""
        return [rows[rows >= 0] for rows in self.index.search(self.queries, count)[1]]

    def at(self, rows: Sequence[Rows]) -> list[NDArray[np.float32]]:
        """Exact cosines; 0 for an entity without a vector."""
        return [
            self.index.scores_of(query[None], of_question[None], missing=0.0)[0]
            for query, of_question in zip(self.queries, rows, strict=True)
        ]


class ContrastiveLinker(RankedLinker):
    """Links mentions by the two towers of a run (DIM, frozen vectors, your own), its names, and its ranker if any.

    Args:
        towers: The encoders and the network.
        knowledge: The KB.
        index: Of its vectors, by row.
        names: Of its names and aliases, by row.
        ranker: Orders the candidates; None: their vectors do.
        about: What it comes from; JSON.
    """

    method = TwoTowers
    content = CONTENT
    index: VectorIndex

    def __init__(
        self,
        towers: Towers,
        knowledge: Knowledge,
        index: VectorIndex,
        names: EntityNames,
        ranker: Ranker | None,
        about: dict[str, Any],
    ) -> None:
        super().__init__(knowledge, towers.live, about, names, ranker)
        self.towers, self.index = towers, index

    @classmethod
    def of_run(cls, task: LinkingTask, run: Path, index: KindOrAuto = "auto") -> ContrastiveLinker:
        """The linker of an opened run, with the ranker that `dim rank` left there."""
        assert isinstance(task, TwoTowers)
        data, module = task.data, task.datamodule
        knowledge = knowledge_of(data.dataset.entities, data.texts, data.dataset.image_root)
        vectors = task.kb_vectors.float().cpu().numpy()
        has_vector = np.flatnonzero(np.abs(vectors).sum(1) > 0)
        entities = list(knowledge)
        ranker = ranker_of_run(run, task)
        return cls(
            Towers(task, live_encoder(module)),
            knowledge,
            VectorIndex.build(vectors[has_vector], has_vector, kind=index),
            EntityNames([entity.name for entity in entities], [entity.aliases for entity in entities]),
            ranker,
            about_run(task, run, recipe_of_run(run, type(task)), ranker),
        )

    @classmethod
    def read(
        cls, folder: Path, device: str, trusted: Sequence[str] = (), image_root: str | Path | None = None
    ) -> ContrastiveLinker:
        """As of `Linker`."""
        return cls(*read(folder, device, trusted, image_root))

    def write(self, place: Path, about: dict[str, Any], check: Callable[[Path], None] | None = None) -> None:
        """As of `Linker`."""
        write(place, self.towers, self.knowledge, self.index, self.names, self.ranker, about, check)

    @property
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""
        return self.towers.reads_images

    @property
    def image_reader(self) -> ImageReader:
        """Makes the images of questions ready."""
        return self.towers.image_reader

    def _add_scored(self, rows: Rows, entities: list[Entity]) -> None:
        parts = [self.towers.entities(entities[start : start + BATCH]) for start in range(0, len(entities), BATCH)]
        vectors = np.concatenate(parts)  # [n, width]; zeros for an entity that has none
        has_vector = np.abs(vectors).sum(1) > 0
        self.index.add(rows[has_vector], vectors[has_vector])

    def _remove_scored(self, rows: Rows) -> None:
        self.index.remove(rows[self.index.has(rows)])

    def _score(self, questions: Sequence[Question]) -> ByVector:
        return ByVector(self.towers.queries(questions), self.index)
