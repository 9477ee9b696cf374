"""The linker of a contrastive run: vectors and names bring candidates, a ranker orders them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.core.sealed import open_sealed, seal
from dim.data.entity import Entity
from dim.errors import DataError
from dim.features.live import LiveEncoder
from dim.inference.method import Method
from dim.inference.two_towers import TwoTowersNetwork
from dim.linker.answer import Question
from dim.linker.card import encoder_names, model_card
from dim.linker.entity_table import read_entities, write_entities
from dim.linker.figures import about_run
from dim.linker.folder import MANIFEST, REMEDY, check_fingerprints, read_weights
from dim.linker.images import ImageReader
from dim.linker.knowledge import Knowledge, knowledge_of
from dim.linker.linker import BATCH
from dim.linker.manifest import LinkerManifest
from dim.linker.method_files import check_classes, write_method
from dim.linker.ranked import NAMES, RankedLinker, card_of_ranker, names_by_row, ranker_row, read_names, read_ranker
from dim.linker.recipe import check_widths, located, make, recipe_of_run
from dim.linker.run_ranker import ranker_of_run
from dim.methods.contrastive.towers import Towers, make_towers, tower_facts
from dim.reranker.entities import EntityFacts
from dim.reranker.ranker import Ranker
from dim.search.entity_names import EntityNames
from dim.search.recall import NUM_SAMPLED
from dim.search.sparse_rows import SparseRows
from dim.search.stores import FLOATS_AT_ONCE, Storage
from dim.search.vector_index import KindOrAuto, VectorIndex

FORMAT = 2
WIDER = 4  # candidates by vector and by name an answer, where vectors are a part of what counts
LEAST_ASKED = 100  # mentions that an index is tuned on: of fewer, the recall is too uncertain


class ByVector:
    """Cosines (`dim.inference.scored.Scored`): the product of dense columns, and beside it that of sparse ones.

    Args:
        queries: [n, index.width], the dense columns of questions' unit vectors.
        index: Of the KB's.
        beside: The sparse columns [n, rows.width] of the questions, and those of the KB; None: there are none.
        alike: Gives so many rows whose names are alike for each question. Where the index does not compare all vectors,
            these may be the nearest by what is beside it.
    """

    def __init__(
        self,
        queries: NDArray[np.float32],
        index: VectorIndex,
        beside: tuple[sp.csr_matrix, SparseRows] | None,
        alike: Callable[[int], Sequence[Rows]],
    ) -> None:
        self.queries, self.index, self.beside, self.alike = queries, index, beside, alike
        step = max(1, FLOATS_AT_ONCE // max(1, beside[1].num_rows)) if beside is not None else max(1, len(queries))
        self._parts = [slice(start, start + step) for start in range(0, len(queries), step)]
        self._last: tuple[slice, NDArray[np.float32]] | None = None

    def nearest(self, count: int) -> list[Rows]:
        """By approximate search, where the index is of such a kind."""
        if self.beside is None:
            return _there(self.index.search(self.queries, count)[1])
        if self.index.compares_all:
            found = [self.index.search(self.queries[part], count, self._products(part))[1] for part in self._parts]
            return [rows for each in found for rows in _there(each)]
        by_either = zip(
            _there(self.index.search(self.queries, WIDER * count)[1]), self.alike(WIDER * count), strict=True
        )
        rows = [np.union1d(dense, names[self.index.has(names)]) for dense, names in by_either]
        return [
            own[np.argsort(-scores, kind="stable")[:count]] for own, scores in zip(rows, self.at(rows), strict=True)
        ]

    def at(self, rows: Sequence[Rows]) -> list[NDArray[np.float32]]:
        """Exact cosines; 0 for an entity without a vector."""
        dense = [
            self.index.scores_of(query[None], own[None], missing=0.0)[0]
            for query, own in zip(self.queries, rows, strict=True)
        ]
        return dense if self.beside is None else [a + b for a, b in zip(dense, self._products_at(rows), strict=True)]

    def _products_at(self, rows: Sequence[Rows]) -> list[NDArray[np.float32]]:
        assert self.beside is not None
        queries, of_kb = self.beside
        if not self.index.compares_all:
            return [of_kb.at(queries[place], own) for place, own in enumerate(rows)]
        products = ((self._products(part), rows[part]) for part in self._parts)
        return [found[own] for block, asked in products for found, own in zip(block, asked, strict=True)]

    def _products(self, part: slice) -> NDArray[np.float32]:
        """The products [b, num_rows] of the sparse columns; those that were asked for last are kept."""
        assert self.beside is not None
        if self._last is None or self._last[0] != part:
            queries, rows = self.beside
            self._last = part, rows.products(queries[part])
        return self._last[1]


def _there(found: NDArray[np.int64]) -> list[Rows]:
    """The ids of each row that are some."""
    return [rows[rows >= 0] for rows in found]


class ContrastiveLinker(RankedLinker):
    """Links mentions by the two towers of a run (DIM, frozen vectors, your own), its names, and its ranker if any.

    Args:
        towers: The encoders and the network.
        knowledge: The KB.
        index: Of its vectors, by row.
        sparse: Their sparse columns (`TwoTowers.num_sparse`); None: there are none.
        names: Of its names and aliases, by row.
        ranker: Orders the candidates; None: their vectors do.
        about: What it comes from; JSON.
        facts: As of `RankedLinker`.
    """

    method = TwoTowersNetwork
    content = "linker"
    index: VectorIndex

    def __init__(
        self,
        towers: Towers,
        knowledge: Knowledge,
        index: VectorIndex,
        sparse: SparseRows | None,
        names: EntityNames,
        ranker: Ranker | None,
        about: dict[str, Any],
        facts: EntityFacts | None = None,
    ) -> None:
        super().__init__(knowledge, towers.live, about, names, ranker, facts)
        self.towers, self.index, self.sparse = towers, index, sparse

    @classmethod
    def of_run(cls, task: Method, run: Path, index: KindOrAuto = "auto") -> ContrastiveLinker:
        """The linker of an opened run, with the ranker that `dim rank` left there."""
        assert isinstance(task, TwoTowersNetwork)
        data, module = task.data, task.datamodule
        knowledge = knowledge_of(data.dataset.entities, data.texts, data.dataset.image_root)
        vectors = task.kb_vectors.float().cpu().numpy()
        sparse = None if task.kb_sparse is None else task.kb_sparse.of(slice(0, len(vectors)))
        has_vector = np.flatnonzero(_are_there(vectors, None if sparse is None else sparse.T))
        ranker = ranker_of_run(run, task)
        return cls(
            Towers(task, LiveEncoder(module.choices)),
            knowledge,
            VectorIndex.build(vectors[has_vector], has_vector, index, _asked(task)),
            None if sparse is None else SparseRows(sparse.copy()),  # those of the task stay whole
            names_by_row(knowledge),
            ranker,
            about_run(task, run, recipe_of_run(run, type(task)), ranker),
        )

    @classmethod
    def of_knowledge(
        cls,
        task: TwoTowersNetwork,
        live: LiveEncoder,
        knowledge: Knowledge,
        about: dict[str, Any],
        ranker: Ranker | None,
        index: KindOrAuto,
    ) -> ContrastiveLinker:
        """As of `Linker.from_entities`, by towers that encode one dense vector and are not trained."""
        towers = Towers(task, live)
        rows, vectors = knowledge.rows, towers.of_knowledge(knowledge)
        has_vector = _are_there(vectors, None)
        made = VectorIndex.build(vectors[has_vector], rows[has_vector], kind=index)
        return cls(towers, knowledge, made, None, names_by_row(knowledge), ranker, about)

    @classmethod
    def read(
        cls, folder: Path, device: str, trusted: Sequence[str] = (), image_root: str | Path | None = None
    ) -> ContrastiveLinker:
        """As of `Linker`."""
        manifest = open_sealed(folder, cls.content, FORMAT, MANIFEST, REMEDY, LinkerManifest)
        recipe = located(manifest["about"]["recipe"], folder, manifest["files"])
        about = manifest["about"] | {"recipe": recipe}  # a later `write` finds the encoders' files
        task, live = make(recipe, device, TwoTowersNetwork, trusted)
        width = make_towers(task, manifest["towers"], read_weights(folder / "model.safetensors"))
        check_widths(live, manifest["towers"])
        towers = Towers(task, live)
        check_fingerprints(manifest["fingerprints"], live.choices.encoders)
        knowledge = read_entities(folder, manifest["next_row"], image_root)
        index, names = VectorIndex.load(folder / "index"), read_names(folder, knowledge)
        sparse = SparseRows.load(folder / "sparse", names.num_rows) if (folder / "sparse").exists() else None
        wanted, found = (width - task.num_sparse, task.num_sparse), (index.width, 0 if sparse is None else sparse.width)
        if found != wanted:
            what = f"vectors of {wanted[0]:,} dense and {wanted[1]:,} sparse columns in {folder}"
            raise DataError(what, f"{found[0]:,} and {found[1]:,}", REMEDY)
        ranker, facts = read_ranker(folder, knowledge)
        return cls(towers, knowledge, index, sparse, names, ranker, about, facts)

    def write(self, place: Path, about: dict[str, Any]) -> None:
        """As of `Linker`."""
        check_classes(about, TwoTowersNetwork)
        write_entities(self.knowledge, place, about.get("images", "paths"))
        self.index.save(place / "index")
        if self.sparse is not None:
            self.sparse.save(place / "sparse")
        self.names.save(place / NAMES)
        self.write_ranker(place)
        task = self.towers.task
        facts: dict[str, Any] = {"next_row": self.knowledge.next_row, "towers": tower_facts(task)}
        facts |= write_method(place, task, self.live, about, TwoTowersNetwork)
        rows = {
            "encoders": encoder_names(about),
            "index": f"{self.index.kind}, recall@10 {self.index.recall.at_10:.3f} against exact search",
            **ranker_row(self.ranker),
        }
        card = model_card(about, self.knowledge, rows, **card_of_ranker(self.ranker))
        (place / "README.md").write_text(card, encoding="utf-8")
        seal(place, self.content, FORMAT, facts, MANIFEST)

    @property
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""
        return self.towers.reads_images

    @property
    def image_reader(self) -> ImageReader:
        """Makes the images of questions ready."""
        return self.towers.image_reader

    def rebuild_index(self, kind: KindOrAuto = "auto", storage: Storage = "float16") -> None:
        """As of `Linker`."""
        self._coherence = None
        super().rebuild_index(kind, storage)

    def vectors_of(self, rows: Rows) -> NDArray[np.float32]:
        """The dense vectors [m, d] of rows [m]; zeros for an entity without one."""
        found = np.zeros((len(rows), self.index.width), np.float32)
        is_there = self.index.has(rows)
        found[is_there] = self.index.vectors_of(rows[is_there])
        return found

    def _add_scored(self, rows: Rows, entities: list[Entity]) -> None:
        starts = range(0, len(entities), BATCH)
        parts = [self._parted(self.towers.entities(entities[start : start + BATCH])) for start in starts]
        vectors = np.concatenate([dense for dense, _ in parts])  # zeros for an entity that has none
        others = [each for _, each in parts if each is not None]
        sparse = sp.csr_matrix(sp.vstack(others)) if others else None
        has_vector = _are_there(vectors, sparse)
        self.index.add(rows[has_vector], vectors[has_vector])
        if self.sparse is not None and sparse is not None:
            try:
                self.sparse.add(rows, sparse)
            except BaseException:
                self._remove_scored(rows)
                raise

    def _remove_scored(self, rows: Rows) -> None:
        self.index.remove(rows[self.index.has(rows)])
        if self.sparse is not None:
            self.sparse.remove(rows)

    def _score(self, questions: Sequence[Question]) -> ByVector:
        return self.by_vector(self.towers.queries(questions), [question.mention for question in questions])

    def by_vector(self, queries: NDArray[np.float32], mentions: Sequence[str]) -> ByVector:
        """The scores of questions' unit vectors [n, width]."""
        dense, sparse = self._parted(queries)
        beside = None if self.sparse is None or sparse is None else (sparse, self.sparse)
        return ByVector(dense, self.index, beside, lambda count: list(self.names.search(mentions, count)))

    def _parted(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], sp.csr_matrix | None]:
        return (vectors, None) if self.sparse is None else self.sparse.parted(vectors)


def _asked(task: TwoTowersNetwork) -> NDArray[np.float32] | None:
    """Vectors of mentions of tune, by which an index is tuned: what is asked for lies elsewhere than the KB's vectors.

    None where there are fewer than `LEAST_ASKED`.
    """
    rows = np.flatnonzero(task.data.dataset.mentions["split"] == "tune")
    rows = np.random.default_rng(0).permutation(rows)[:NUM_SAMPLED]
    with torch.inference_mode():
        parts = [task.dense_queries(part) for part in torch.from_numpy(rows).to(task.device).split(BATCH)]
    vectors = np.concatenate([part.float().cpu().numpy() for part in parts])
    vectors = vectors[vectors.any(axis=1)]
    return vectors if len(vectors) >= LEAST_ASKED else None


def _are_there(dense: NDArray[np.float32], sparse: sp.csr_matrix | sp.csc_matrix | None) -> NDArray[np.bool_]:
    """Which vectors [n], by their dense and sparse columns, are more than zeros."""
    found = np.asarray(dense.any(axis=1), dtype=np.bool_)
    if sparse is not None:
        found[sparse.nonzero()[0]] = True
    return found
