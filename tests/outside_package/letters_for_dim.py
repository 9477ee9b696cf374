"""What a package that is not dim adds: a method, its linker, an encoder, a converter. Names are compared by letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dim.core.sealed import Manifest, open_sealed, seal
from dim.encoders.base import Features, TextEncoder
from dim.features.live import LiveEncoder
from dim.linker import Answer, Entity, Linker, Question
from dim.linker.entity_table import read_entities, write_entities
from dim.linker.figures import figures_of_run
from dim.linker.folder import MANIFEST, REMEDY, check_fingerprints, fingerprints
from dim.linker.images import ImageReader
from dim.linker.knowledge import knowledge_of
from dim.linker.recipe import absolute, located, make, recipe_of_run, write_encoder_files
from dim.releases.base import Converter, Release
from dim.releases.mention_rows import MentionRows
from dim.training.datamodule import LinkingData
from dim.training.task import LinkingTask

__all__ = ["LetterCounts", "Letters"]
SHARPNESS = 20.0


class LetterCounts(TextEncoder):
    """How often each letter stands in a text, by 32 columns; of length 1."""

    width = 32
    fingerprint = "LetterCounts:1"

    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), 32]."""
        counts = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            np.add.at(counts[row], [ord(letter) % self.width for letter in text.casefold()], 1)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


class Letters(LinkingTask):
    """Cosine of letter counts, with a weight a letter that is learned."""

    def build(self, data: LinkingData) -> None:
        """Makes the weights."""
        self.weights = nn.Parameter(torch.ones(data.entity_fields["name"].width))

    def loss_of(self, rows: Tensor) -> Tensor:
        """Each mention's gold against those of the others."""
        gold = self.data.gold[rows]
        return cross_entropy(SHARPNESS * self._mentions(rows) @ self._entities(gold).T, torch.arange(len(rows)))

    def scores_of(self, rows: Tensor) -> Tensor:
        """Scores [B, num_entities]."""
        return self._mentions(rows) @ self._entities(torch.arange(len(self.data.dataset.entities))).T

    def _mentions(self, rows: Tensor) -> Tensor:
        return self.weights * self.data.mentions(rows).fields["mention"].mean()[0]

    def _entities(self, rows: Tensor) -> Tensor:
        return self.data.entities(rows).fields["name"].mean()[0]


class LettersManifest(Manifest):
    """What its folder says."""

    about: dict[str, Any]
    next_row: int
    fingerprints: dict[str, str]


class LettersLinker(Linker):
    """Links by the letters of names."""

    method = Letters
    content = "letters linker"

    def __init__(self, weights: Features, *parts: Any) -> None:
        super().__init__(*parts)
        self.weights = weights
        self._vectors: dict[int, Features] = {}
        rows = self.knowledge.rows
        self._index(rows, [self.knowledge.entities[row] for row in rows.tolist()])

    @classmethod
    def of_run(cls, task: LinkingTask, run: Path, index: str = "auto") -> LettersLinker:
        """As of `Linker`."""
        data = task.data
        about = {
            "dataset": data.dataset.name,
            "kb_hash": data.dataset.kb_hash,
            "recipe": absolute(recipe_of_run(run, type(task))),
        }
        knowledge = knowledge_of(data.dataset.entities, data.texts, data.dataset.image_root)
        about["figures"] = figures_of_run(run)
        return cls(task.weights.detach().numpy(), knowledge, LiveEncoder(task.datamodule.choices), about)

    def write(self, place: Path, about: dict[str, Any]) -> None:
        """As of `Linker`."""
        np.save(place / "weights.npy", self.weights)
        write_entities(self.knowledge, place, about.get("images", "paths"))
        recipe, _ = write_encoder_files(about["recipe"], self.live.choices.encoders, place)
        facts = {"next_row": self.knowledge.next_row, "fingerprints": fingerprints(self.live)}
        seal(place, self.content, 1, facts | {"about": about | {"recipe": recipe}}, MANIFEST)

    @classmethod
    def read(cls, folder: Path, device: str, trusted: Sequence[str], image_root: str | Path | None) -> LettersLinker:
        """As of `Linker`."""
        manifest = open_sealed(folder, cls.content, 1, MANIFEST, REMEDY, LettersManifest)
        recipe = located(manifest["about"]["recipe"], folder, manifest["files"])
        _, live = make(recipe, device, Letters, trusted)
        check_fingerprints(manifest["fingerprints"], live.choices.encoders)
        knowledge = read_entities(folder, manifest["next_row"], image_root)
        return cls(np.load(folder / "weights.npy"), knowledge, live, manifest["about"] | {"recipe": recipe})

    def _index(self, rows: Any, entities: list[Entity]) -> None:
        names = [entity.name for entity in entities]
        batch = self.live.entities(names, [None] * len(names), [None] * len(names), ["name"])
        self._vectors |= zip(rows.tolist(), batch.fields["name"].mean()[0].numpy(), strict=True)

    def _link(self, questions: Sequence[Question], top_k: int) -> list[list[Answer]]:
        names = [question.mention for question in questions]
        batch = self.live.mentions(names, names, [None] * len(names), ["mention"])
        queries = batch.fields["mention"].mean()[0].numpy()
        return [
            self._best(query * self.weights, question, top_k)
            for query, question in zip(queries, questions, strict=True)
        ]

    def _best(self, query: Features, question: Question, top_k: int) -> list[Answer]:
        wanted = None if question.candidates is None else {self.knowledge.row(each) for each in question.candidates}
        scores = {
            row: float(query @ vector) for row, vector in self._vectors.items() if wanted is None or row in wanted
        }
        best = sorted(scores, key=lambda row: (-scores[row], row))[:top_k]
        entities = [(self.knowledge.entities[row], scores[row]) for row in best]
        return [
            Answer(entity.id, entity.name, entity.text, score, None, {"letters": score}) for entity, score in entities
        ]

    def _forget(self, rows: Any) -> None:
        for row in rows.tolist():
            del self._vectors[row]

    reads_images = False
    has_probabilities = False

    @property
    def image_reader(self) -> ImageReader:
        """Reads none."""
        return ImageReader(self.live, ())

    @property
    def evidence(self) -> Mapping[str, str]:
        """The one score."""
        return {"letters": "cosine of letter counts"}


class Colons(Converter):
    """Lines `split:mention:name` in a file `facts.colons`; the KB is the names."""

    layout = "colons"
    needs = "facts.colons"

    def recognizes(self, root: Path) -> bool:
        """By the file's name."""
        return (root / "facts.colons").is_file()

    def read(self, root: Path) -> Release:
        """Reads the lines."""
        rows = [line.split(":") for line in (root / "facts.colons").read_text().splitlines()]
        names = sorted({name for _, _, name in rows})
        ids = {name: f"L{number}" for number, name in enumerate(names)}
        lists = [[] for _ in names]
        columns = {"aliases": lists, "type": None, "popularity": None, "images": lists, "attributes": None}
        entities = pd.DataFrame({"id": list(ids.values()), "name": names, **columns})
        mentions = MentionRows(entities["id"])
        for number, (split, mention, name) in enumerate(rows):
            where, context = f"line {number}", f"{mention} was there"
            mentions.add(split=split, where=where, mention=mention, context=context, answer=ids[name])
        texts = pd.DataFrame({"entity_id": list(ids.values()), "text": [f"{name}, a name" for name in names]})
        found = mentions.table(), None, len(rows), mentions.skipped
        return Release("letters", "made up", "CC0", entities, {"brief": texts}, *found)
