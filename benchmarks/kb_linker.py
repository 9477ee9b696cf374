"""A saved linker over a made-up KB of any size: `python kb_linker.py FOLDER NUM_ENTITIES SEED` makes it.

What would take hours is drawn: the dense vectors of entities stand around random centres, those of questions near their
golds. Names, aliases, texts, spelling, ranker and the text encoder's work on a question are as they are anywhere.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dim  # noqa: F401 - first: it mends the import of torchvision

# isort: split
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.made_up_linker import WIDTH, make_towers, recipe_of, write_text_encoder
from benchmarks.search_curve import World
from dim.data.entity import Entity
from dim.demo.mentions import sentences
from dim.demo.population import FAMILY_SIZE, populate
from dim.demo.texts import brief_texts
from dim.encoders.base import TextEncoder
from dim.encoders.text import TransformersTextEncoder
from dim.features.live import LiveEncoder, ReadyImage
from dim.linker.answer import Question
from dim.linker.knowledge import knowledge_of
from dim.linker.ranked import NUM_CANDIDATES
from dim.methods.contrastive.linker import ContrastiveLinker
from dim.methods.contrastive.towers import Towers
from dim.reranker.features import FEATURES
from dim.reranker.network import RankerNetwork
from dim.reranker.ranker import Ranker
from dim.search.entity_names import EntityNames
from dim.search.sparse_rows import SparseRows
from dim.search.vector_index import VectorIndex

NUM_CENTRES, NUM_QUESTIONS, NUM_ADDED = 10_000, 1_000, 1_001
BATCH = 8192
DENSE = "dense.npy"
NOISE = 0.5  # length of what a question's vector has beside its gold's, as between entities of one centre

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class MadeUp:
    """A KB of so many entities, those that are added later behind them, and questions about the first.

    Attributes:
        entities: With their texts, one to three names each.
        dense: [num_entities + NUM_ADDED, WIDTH], unit vectors, on the disk.
        golds: [NUM_QUESTIONS], rows of `entities`.
        mentions: A name of each gold: full, of the family alone, or another one.
        contexts: A sentence around each.
        asked: [NUM_QUESTIONS, WIDTH], unit vectors near the golds'.
    """

    entities: list[Entity]
    dense: Vectors
    golds: NDArray[np.int64]
    mentions: list[str]
    contexts: list[str]
    asked: Vectors


def make_up(folder: Path, num_entities: int, seed: int) -> MadeUp:
    """The same for the same number and seed; writes the dense vectors to folder/dense.npy."""
    rng = np.random.default_rng(seed)
    count = num_entities + NUM_ADDED
    population = populate(count, 0, rng)
    family, member = np.divmod(np.arange(count), FAMILY_SIZE)
    facts = population.facts[family, member]
    names = [population.name(f, m) for f, m in zip(family.tolist(), member.tolist(), strict=True)]
    # Further names: with an initial, and with the surname of somebody else.
    others = rng.permutation(count)
    numbers = rng.integers(3, size=count).tolist()
    aliases = [
        (f"{name[0]}. {name.split(' ', 1)[1]}", f"{name.split(' ', 1)[0]} {names[other].split(' ', 1)[1]}")[:number]
        for name, other, number in zip(names, others.tolist(), numbers, strict=True)
    ]
    texts = brief_texts(names, facts, rng)
    entities = [Entity(f"Q{row}", *each) for row, each in enumerate(zip(names, aliases, texts, strict=True))]
    dense = np.lib.format.open_memmap(folder / DENSE, "w+", np.dtype(np.float32), (count, WIDTH))
    World.draw(NUM_CENTRES, WIDTH, rng).fill(dense, rng)
    golds = rng.integers(num_entities, size=NUM_QUESTIONS)
    mentions = []
    for row, kind in zip(golds.tolist(), rng.integers(3, size=NUM_QUESTIONS).tolist(), strict=True):
        mentions.append((names[row], names[row].split(" ", 1)[1], (*aliases[row], names[row])[0])[kind])
    contexts = [sentence for sentence, _ in sentences(mentions, facts[golds], rng)]
    noise = NOISE * WIDTH**-0.5 * rng.standard_normal((NUM_QUESTIONS, WIDTH), dtype=np.float32)
    asked = dense[golds] + noise
    return MadeUp(entities, dense, golds, mentions, contexts, asked / np.linalg.norm(asked, axis=1, keepdims=True))


@dataclass(frozen=True)
class Asked:
    """What is asked of a saved linker and added to it, without the KB that it was made of.

    Attributes:
        mentions: As of `MadeUp`, with `contexts` and `asked`.
        added: NUM_ADDED entities that it lacks.
        dense: [NUM_ADDED, WIDTH], their vectors.
    """

    mentions: list[str]
    contexts: list[str]
    asked: Vectors
    added: list[Entity]
    dense: Vectors

    @classmethod
    def of(cls, made_up: MadeUp, num_entities: int) -> Asked:
        """Of a KB whose first entities are saved."""
        added, dense = made_up.entities[num_entities:], made_up.dense[num_entities:]
        return cls(made_up.mentions, made_up.contexts, made_up.asked, added, dense)

    def write(self, folder: Path) -> None:
        """Writes asked.json and asked.npz."""
        added = [[entity.id, entity.name, entity.aliases, entity.text] for entity in self.added]
        texts = {"mentions": self.mentions, "contexts": self.contexts, "added": added}
        (folder / "asked.json").write_text(json.dumps(texts))
        np.savez(folder / "asked.npz", asked=self.asked, dense=self.dense)

    @classmethod
    def read(cls, folder: Path) -> Asked:
        """What `write` wrote."""
        texts, vectors = json.loads((folder / "asked.json").read_text()), np.load(folder / "asked.npz")
        added = [Entity(each, name, tuple(aliases), text) for each, name, aliases, text in texts["added"]]
        return cls(texts["mentions"], texts["contexts"], vectors["asked"], added, vectors["dense"])


class DrawnTowers(Towers):
    """Towers whose dense vectors were drawn: of a question, after its texts were encoded; of an entity, in their place.

    Args:
        towers: That do the work.
        asked: The vectors of questions, by mention and context, and of what is added.
    """

    def __init__(self, towers: Towers, asked: Asked) -> None:
        super().__init__(towers.task, towers.live)
        self.spelled = spelled(towers)
        pairs = zip(asked.mentions, asked.contexts, strict=True)
        self.asked = dict(zip(pairs, asked.asked, strict=True))
        self.known = dict(zip((entity.id for entity in asked.added), asked.dense, strict=True))

    def queries(self, questions: Sequence[Question]) -> Vectors:
        """Encoded, then drawn."""
        drawn = [self.asked[question.mention, question.context] for question in questions]
        return self._with(super().queries(questions), drawn)

    def entities(self, entities: Sequence[Entity], images: Sequence[ReadyImage | None] | None = None) -> Vectors:
        """Spelled, and drawn."""
        return self._with(self.spelled.entities(entities, images), [self.known[entity.id] for entity in entities])

    def _with(self, unit: Vectors, drawn: Sequence[Vectors]) -> Vectors:
        dense = unit[:, self.task.num_sparse :]
        dense[:] = np.stack(drawn) * np.linalg.norm(dense, axis=1, keepdims=True)
        return unit


def spelled(towers: Towers) -> Towers:
    """Towers that encode no text: what their vectors have of spelling, and how much of them that is, is as of these."""
    return Towers(towers.task, LiveEncoder(replace(towers.live.choices, text_encoder=Constant())))


class Constant(TextEncoder):
    """Takes no time: one vector for every text."""

    width = WIDTH
    fingerprint = "constant"

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """[n, WIDTH], all the same."""
        return np.full((len(texts), WIDTH), WIDTH**-0.5, np.float32)


def save_linker(folder: Path, made_up: MadeUp, num_entities: int, seed: int) -> dict[str, float]:
    """Writes the linker of the first entities to folder/linker; returns the seconds of each part."""
    entities, taken = made_up.entities[:num_entities], {}
    started = time.perf_counter()

    def tick(name: str) -> None:
        nonlocal started
        taken[name], started = time.perf_counter() - started, time.perf_counter()

    texts = [*(entity.text or "" for entity in entities[:10_000]), *made_up.contexts]
    encoder = TransformersTextEncoder(str(write_text_encoder(folder / "encoder", texts, "minilm", seed)), device="cpu")
    towers = make_towers(encoder, [entity.name for entity in entities[:10_000]], seed)
    of_spelling, num_sparse, sparse = spelled(towers), towers.task.num_sparse, []
    dense = made_up.dense[:num_entities]
    tick("towers")
    for start in range(0, num_entities, BATCH):
        unit = of_spelling.entities(entities[start : start + BATCH])
        sparse.append(sp.csr_matrix(unit[:, :num_sparse]))
        dense[start : start + BATCH] *= np.linalg.norm(unit[:, num_sparse:], axis=1, keepdims=True)
    SparseRows(sp.csr_matrix(sp.vstack(sparse, format="csr").T)).save(folder / "sparse")
    del sparse
    tick("vectors")
    VectorIndex.build(dense, wanted_recall=0.99, k=NUM_CANDIDATES).save(folder / "index")
    # From here on vectors are mapped: names and entities need the memory.
    index, rows = VectorIndex.load(folder / "index"), SparseRows.load(folder / "sparse", num_entities)
    tick("index")
    names = EntityNames([entity.name for entity in entities], [entity.aliases for entity in entities])
    tick("names")
    columns = ("id", "name", "aliases", "type", "popularity", "images")
    frame = pd.DataFrame({name: [getattr(entity, name) for entity in entities] for name in columns})
    frame["popularity"] = frame["popularity"].astype(float)
    knowledge = knowledge_of(frame, [entity.text for entity in entities], folder)
    about: dict[str, Any] = {"dataset": "made up", "kb_hash": "", "recipe": recipe_of(folder / "encoder")}
    ranker = Ranker(RankerNetwork(len(FEATURES)), tuple(FEATURES), facts={"num_candidates": NUM_CANDIDATES})
    linker = ContrastiveLinker(
        Towers(towers.task, LiveEncoder(replace(towers.live.choices, text_encoder=encoder))),
        knowledge, index, rows, names, ranker, about,
    )  # fmt: skip
    tick("entities")
    linker.save(folder / "linker")
    Asked.of(made_up, num_entities).write(folder)
    (folder / DENSE).unlink()
    for name in ("index", "sparse"):
        shutil.rmtree(folder / name)
    tick("save")
    return taken


if __name__ == "__main__":
    place, size, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    parts = save_linker(place, make_up(place, size, seed), size, seed)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    sys.stdout.write(json.dumps({"make_" + name: value for name, value in parts.items()} | {"make_mb": most}) + "\n")
