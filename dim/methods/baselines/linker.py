"""The linker of a baseline that reads names and texts as they are: nothing is encoded, and a ranker may order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dim.core.arrays import Rows
from dim.core.sealed import open_sealed, seal
from dim.data.entity import Entity
from dim.encoders.base import ENCODERS
from dim.errors import ConfigError, DataError
from dim.features.fields import Choices
from dim.features.live import LiveEncoder
from dim.inference.method import Method
from dim.linker.answer import Question, of_question
from dim.linker.by_column import ByColumn, ByName
from dim.linker.card import model_card
from dim.linker.entity_table import read_entities, write_entities
from dim.linker.figures import about_run
from dim.linker.folder import MANIFEST, REMEDY, UNTRUSTED
from dim.linker.images import ImageReader
from dim.linker.knowledge import Knowledge, knowledge_of
from dim.linker.manifest import BaselineManifest
from dim.linker.ranked import NAMES, RankedLinker, card_of_ranker, names_by_row, ranker_row, read_names, read_ranker
from dim.linker.recipe import make, read_classes, recipe_of_run
from dim.linker.run_ranker import ranker_of_run
from dim.methods.baselines.text_method import TextMethod
from dim.reranker.entities import EntityFacts
from dim.reranker.ranker import Ranker
from dim.search.entity_names import EntityNames
from dim.search.scores import HeldScores
from dim.search.vector_index import KindOrAuto

FORMAT = 2
SCORED = "scored_names"  #: The folder of the names by which a method scores.
CPU = torch.device("cpu")


class BaselineLinker(RankedLinker):
    """Links mentions by what a `TextMethod` makes of names and texts, and by its run's ranker, if any.

    When entities come or go, the KB is indexed anew at the next question: that takes as long as at the start. Names
    that alone count are not: they keep the weights that they had.

    Args:
        task: The method, with its options.
        knowledge: The KB.
        names: Of its names and aliases, by row.
        ranker: Orders the candidates; None: the method's scores do.
        about: What it comes from; JSON.
        facts: As of `RankedLinker`.
        scored: By which a method scores that counts names alone; None: they are indexed at the first question.
    """

    method = TextMethod
    content = "baseline linker"
    reads_images = False
    score_name = "score"

    def __init__(
        self,
        task: TextMethod,
        knowledge: Knowledge,
        names: EntityNames,
        ranker: Ranker | None,
        about: dict[str, Any],
        facts: EntityFacts | None = None,
        scored: EntityNames | None = None,
    ) -> None:
        super().__init__(knowledge, LiveEncoder(Choices()), about, names, ranker, facts)
        self.task, self._scored = task, scored
        self._indexed: Rows | None = None  # the rows that the task has indexed; None: others than those of the KB

    @classmethod
    def of_run(cls, task: Method, run: Path, index: KindOrAuto = "auto") -> BaselineLinker:
        """The linker of an opened run, with the ranker that `dim rank` left there.

        Raises:
            ConfigError: The run does not see the names or the contexts as they are: its figures are of another system.
        """
        assert isinstance(task, TextMethod)
        data, module = task.data, task.datamodule
        if unseen := {"name", "context"} & {*module.leave_out, *module.shuffle}:
            found = f"{run} with the control {', '.join(sorted(unseen))}"
            raise ConfigError("a run that reads names and contexts as they are", found, "Fit it without that.")
        knowledge = knowledge_of(data.dataset.entities, data.texts, data.dataset.image_root)
        recipe = recipe_of_run(run, type(task))
        recipe["model"]["init_args"] |= task.chosen
        recipe["encoders"] = dict.fromkeys(ENCODERS)  # a run may name some, which nothing reads
        ranker = ranker_of_run(run, task)
        return cls(
            task,
            knowledge,
            names_by_row(knowledge),
            ranker,
            about_run(task, run, recipe, ranker, by="scores"),
        )

    @classmethod
    def of_knowledge(
        cls,
        task: TextMethod,
        live: LiveEncoder,
        knowledge: Knowledge,
        about: dict[str, Any],
        ranker: Ranker | None,
        index: KindOrAuto,
    ) -> BaselineLinker:
        """As of `Linker.from_entities`; nothing is encoded."""
        return cls(task, knowledge, names_by_row(knowledge), ranker, about)

    @classmethod
    def read(
        cls, folder: Path, device: str, trusted: Sequence[str] = (), image_root: str | Path | None = None
    ) -> BaselineLinker:
        """As of `Linker`; it computes on the CPU."""
        manifest = open_sealed(folder, cls.content, FORMAT, MANIFEST, REMEDY, BaselineManifest)
        about: dict[str, Any] = manifest["about"]
        task, _ = make(about["recipe"], device, TextMethod, trusted)
        task.check()
        knowledge = read_entities(folder, manifest["next_row"], image_root)
        names = read_names(folder, knowledge)
        ranker, facts = read_ranker(folder, knowledge)
        scored = read_names(folder, knowledge, SCORED) if (folder / SCORED).exists() else None
        return cls(task, knowledge, names, ranker, about, facts, scored)

    def write(self, place: Path, about: dict[str, Any]) -> None:
        """As of `Linker`."""
        read_classes(about["recipe"], TextMethod, about.get("trusted", ()), UNTRUSTED)
        write_entities(self.knowledge, place, about.get("images", "paths"))
        self.names.save(place / NAMES)
        if self.task.counted and len(self.knowledge):
            self.scored_names.save(place / SCORED)
        self.write_ranker(place)
        rows = {"method": type(self.task).__name__, **ranker_row(self.ranker)}
        card = model_card(about, self.knowledge, rows, by="scores", **card_of_ranker(self.ranker))
        (place / "README.md").write_text(card, encoding="utf-8")
        seal(place, self.content, FORMAT, {"next_row": self.knowledge.next_row, "about": about}, MANIFEST)

    @property
    def image_reader(self) -> ImageReader:
        """Reads none."""
        return ImageReader(self.live, ())

    @property
    def _counts_aliases(self) -> bool:
        return self.task.counted == "names and aliases"

    @property
    def scored_names(self) -> EntityNames:
        """What a method that counts names alone scores by, of the KB as it is."""
        if self._scored is None:
            self._scored = names_by_row(self.knowledge, aliases=self._counts_aliases, weighed_by_names=True)
        return self._scored

    def _add_scored(self, rows: Rows, entities: list[Entity]) -> None:
        self._indexed = None
        if self._scored is not None:
            aliases = [entity.aliases for entity in entities] if self._counts_aliases else None
            self._scored.add([entity.name for entity in entities], aliases)

    def _remove_scored(self, rows: Rows) -> None:
        self._indexed = None
        if self._scored is not None:
            self._scored.remove(rows)

    def _score(self, questions: Sequence[Question]) -> ByColumn | ByName:
        for place, question in enumerate(questions):
            if not question.mention.strip():
                with of_question(place):
                    raise DataError("a mention", "an image alone, which this linker does not read", "Give the name.")
        if not len(self.knowledge):
            return ByColumn(HeldScores(torch.zeros(len(questions), 0)), np.empty(0, np.int64))
        if self.task.counted:
            return ByName([question.mention for question in questions], self.scored_names)
        if self._indexed is None:
            table = self.knowledge.table()
            names, texts = table["name"].to_pylist(), table["text"].to_pylist()
            popularity = table["popularity"].to_numpy()
            if not np.isfinite(popularity).any():
                popularity = np.zeros(len(table))  # of all alike
            self.task.kb_aliases = table["aliases"].to_pylist()
            self.task.index_kb(names, texts, popularity, "the linker")
            self._indexed = self.knowledge.rows
        mentions, contexts = ([getattr(question, name) for question in questions] for name in ("mention", "context"))
        return ByColumn(self.task.scores_for(mentions, contexts, CPU).held(), self._indexed)
