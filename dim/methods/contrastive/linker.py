"""The linker of a contrastive run: vectors and names bring candidates, a ranker orders them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.data.dataset import NIL
from dim.linker.answer import Answer, Question, check_finite, of_question
from dim.linker.figures import figures_of_run
from dim.linker.images import ImageReader
from dim.linker.knowledge import Knowledge, KnownEntity, knowledge_of
from dim.linker.linker import BATCH, Linker
from dim.linker.recipe import recipe_of_run
from dim.linker.run_ranker import ranker_of_run
from dim.linker.sources import live_encoder
from dim.methods.contrastive.competing import Candidates, told_few
from dim.methods.contrastive.folder import CONTENT, read, write
from dim.methods.contrastive.towers import Towers
from dim.reranker.candidates import unite
from dim.reranker.entities import EntityFacts
from dim.reranker.features import FEATURES, Asked, PairFeatures
from dim.reranker.lists import Lists
from dim.reranker.ranker import Judged, Ranker
from dim.search.lexical import EntityNames
from dim.search.vector_index import KindOrAuto, VectorIndex
from dim.training.task import LinkingTask
from dim.training.two_towers import TwoTowers

NUM_CANDIDATES = 32  #: That each of dense and lexical search brings; a ranker says how many it was trained with.
BY_VECTORS = ("vectors", "name")

Rows = NDArray[np.int64]


class ContrastiveLinker(Linker):
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
        super().__init__(knowledge, towers.live, about)
        self.towers, self.index, self.names, self.ranker = towers, index, names, ranker
        self._features: PairFeatures | None = None  # of the KB as it is; None: to be made
        self._told_few = False

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
        about = {
            "dataset": data.dataset.name,
            "kb_hash": data.dataset.kb_hash,
            "licence": data.dataset.meta.get("licence"),
            "run": run.name,
            "recipe": recipe_of_run(run, type(task)),
            "figures": figures_of_run(run, ranker),
        }
        linker = cls(
            Towers(task, live_encoder(module)),
            knowledge,
            VectorIndex.build(vectors[has_vector], has_vector, kind=index),
            EntityNames([entity.name for entity in entities], [entity.aliases for entity in entities]),
            ranker,
            about,
        )
        linker.run = run
        return linker

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

    @property
    def has_probabilities(self) -> bool:
        """With a ranker."""
        return self.ranker is not None

    @property
    def evidence(self) -> Mapping[str, str]:
        """The ranker's features, or the vectors and names."""
        names = self.ranker.names if self.ranker is not None else BY_VECTORS
        return {name: FEATURES.get(name, name) for name in names}

    def _index(self, rows: Rows, entities: list[KnownEntity]) -> None:
        vectors = self._encoded(entities)
        has_vector = np.abs(vectors).sum(1) > 0
        self.index.add(rows[has_vector], vectors[has_vector])
        try:
            self.names.add([entity.name for entity in entities], [entity.aliases for entity in entities])
        except BaseException:
            self.index.remove(rows[has_vector])
            raise
        self._features = None

    def _forget(self, rows: Rows) -> None:
        self.index.remove(rows[self.index.has(rows)])
        self.names.remove(rows)
        self._features = None

    def _encoded(self, entities: Sequence[KnownEntity]) -> NDArray[np.float32]:
        """Vectors [n, width] of entities, at least one; zeros for one that has none."""
        parts = [self.towers.entities(entities[start : start + BATCH]) for start in range(0, len(entities), BATCH)]
        return np.concatenate(parts)

    def _link(self, questions: Sequence[Question], top_k: int) -> list[list[Answer]]:
        queries = self.towers.queries(questions)
        # A ranker orders as many as it was trained with: more would change what it says of the first.
        count = NUM_CANDIDATES if self.ranker is None else int(self.ranker.facts["num_candidates"])
        least = count if self.ranker is not None else max(count, min(top_k, len(self)))
        _, nearest = self.index.search(queries, least)
        found = []
        for place, (question, query, by_vector) in enumerate(zip(questions, queries, nearest, strict=True)):
            with of_question(place):
                found.append(self._found(question, query, by_vector, count, least))
        if self.ranker is None:
            return [self._by_vectors(candidates, top_k) for candidates in found]
        if not self._told_few:
            self._told_few = told_few(questions, found, min(top_k, len(self)))
        features = [self._describe(question, part) for question, part in zip(questions, found, strict=True)]
        parts = zip((part.rows for part in found), features, [-1] * len(found), strict=True)
        judged = self.ranker.judge(Lists.join(parts))
        for place, verdict in enumerate(judged):
            check_finite(place, [*verdict.scores, verdict.nil_probability or 0.0], "the ranker's scores")
        return [
            self._by_ranker(part, described, verdict, top_k)
            for part, described, verdict in zip(found, features, judged, strict=True)
        ]

    def _found(
        self, question: Question, query: NDArray[np.float32], by_vector: Rows, count: int, least: int
    ) -> Candidates:
        if question.candidates is not None:
            rows = np.unique(np.array([self.knowledge.row(entity_id) for entity_id in question.candidates], np.int64))
        else:
            by_vector = by_vector[by_vector >= 0]
            rows = unite(by_vector[:count], question.mention, self.names, count)
            if (lacking := least - len(rows)) > 0:
                rows = np.union1d(rows, by_vector[~np.isin(by_vector, rows)][:lacking])
        vectors = self.index.scores_of(query[None], rows[None], missing=0.0)[0]
        return Candidates(rows, vectors, self.names.scores_of([question.mention], rows[None])[0])

    def _describe(self, question: Question, found: Candidates) -> NDArray[np.float64]:
        """The ranker's features [c, num_features] of a question's candidates."""
        if not len(found.rows):
            return np.empty((0, len(FEATURES)))
        has_image = question.image is not None
        has_caption = has_image and self.towers.live.captioner is not None
        facts = Asked(question.mention, question.context, has_image, has_caption)
        return self.features.of(facts, found.rows, found.vectors.astype(np.float64), found.names.astype(np.float64))

    @property
    def features(self) -> PairFeatures:
        """What the ranker reads of the KB as it is."""
        if self._features is None:
            known = [self.knowledge.entities.get(row) for row in range(self.knowledge.next_row)]
            facts = EntityFacts(
                [entity.name if entity else "" for entity in known],
                [entity.aliases if entity else () for entity in known],
                [entity.text if entity else None for entity in known],
                np.array([entity.popularity if entity else None for entity in known], dtype=np.float64),
            )
            self._features = PairFeatures(facts)
        return self._features

    def _by_vectors(self, found: Candidates, top_k: int) -> list[Answer]:
        return [
            self._answer(
                int(found.rows[place]),
                float(found.vectors[place]),
                {"vectors": found.vectors[place], "name": found.names[place]},
            )
            for place in np.lexsort((found.rows, -found.vectors))[:top_k]
        ]

    def _by_ranker(self, found: Candidates, features: NDArray[np.float64], judged: Judged, top_k: int) -> list[Answer]:
        assert self.ranker is not None
        missing = judged.nil_probability or 0.0
        answers = [
            self._answer(
                int(found.rows[place]),
                float(judged.scores[place]),
                dict(zip(self.ranker.names, features[place], strict=True)),
                float(judged.probabilities[place]) * (1 - missing),
            )
            for place in judged.order[:top_k]
        ]
        if judged.says_nil:
            answers.insert(0, Answer(NIL, NIL, None, 0.0, missing))
        return answers[:top_k]

    def _answer(self, row: int, score: float, evidence: Mapping[str, Any], probability: float | None = None) -> Answer:
        entity = self.knowledge.entities[row]
        parts = {name: float(value) for name, value in evidence.items()}
        return Answer(entity.id, entity.name, entity.text, score, probability, parts, entity.images)
