"""The candidates of a run's mentions, with what speaks for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dim.core.progress import tracked
from dim.reranker.candidates import best_rows, unite
from dim.reranker.entities import EntityFacts
from dim.reranker.features import FEATURES, Asked, PairFeatures
from dim.reranker.lists import Lists
from dim.search.lexical import CHUNK, EntityNames
from dim.training.task import LinkingTask

Rows = NDArray[np.int64]


class Finder:
    """Finds the candidates of a run's mentions and what speaks for each.

    Args:
        task: The run's method, opened; its data is the run's.
        num_candidates: How many come from the vectors, and how many from the names.
    """

    def __init__(self, task: LinkingTask, num_candidates: int) -> None:
        data = task.data
        entities = data.dataset.entities
        self.data, self.num_candidates = data, num_candidates
        self.facts = EntityFacts(
            entities["name"].tolist(),
            entities["aliases"].tolist(),
            data.texts,
            entities["popularity"].to_numpy(dtype=np.float64),
        )
        self.features = PairFeatures(self.facts)
        self.names = EntityNames(entities["name"].tolist(), entities["aliases"].tolist())
        self.gold = data.gold.cpu().numpy()
        mentions = data.dataset.mentions
        self.mentions, self.contexts = mentions["mention"].tolist(), mentions["context"].tolist()
        fields = data.mention_fields
        present = {
            name: fields[name].rows.cpu().numpy() >= 0 if name in fields else None for name in ("image", "caption")
        }
        self._has = {
            name: np.zeros(len(mentions), dtype=bool) if mask is None else mask for name, mask in present.items()
        }

    def lists(self, tower: LinkingTask, rows: Rows, without: Sequence[Rows] | None = None) -> Lists:
        """The candidates of mention rows [n], scored by `tower`; without KB rows that are held out from each."""
        starts = range(0, len(rows), CHUNK)
        steps = tracked(starts, "candidates", len(starts))
        found = (
            part
            for start in steps
            for part in self._block(tower, rows[start : start + CHUNK], without and without[start : start + CHUNK])
        )
        return Lists.join(found)

    def _block(
        self, tower: LinkingTask, rows: Rows, without: Sequence[Rows] | None
    ) -> Iterator[tuple[Rows, NDArray[np.float64], int]]:
        limits = self.data.candidates_of(torch.from_numpy(rows))
        with torch.inference_mode():
            vectors = tower.scores_of(torch.from_numpy(rows).to(tower.device)).float().cpu().numpy()
        for place, row in enumerate(rows.tolist()):
            held_out = without[place] if without is not None else np.empty(0, dtype=np.int64)
            if limits is None:
                dense = best_rows(vectors[place], self.num_candidates, held_out)
                candidates = unite(dense, self.mentions[row], self.names, self.num_candidates, held_out)
            else:
                allowed = np.unique(limits[place].cpu().numpy())
                candidates = np.setdiff1d(allowed[allowed >= 0], held_out)
            yield candidates, self._describe(row, candidates, vectors[place]), int(self.gold[row])

    def _describe(self, row: int, candidates: Rows, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        if not len(candidates):
            return np.empty((0, len(FEATURES)))
        mention = self.mentions[row]
        asked = Asked(mention, self.contexts[row], bool(self._has["image"][row]), bool(self._has["caption"][row]))
        [names] = self.names.scores_of([mention], candidates[None])
        return self.features.of(asked, candidates, vectors[candidates].astype(np.float64), names.astype(np.float64))

    def hold_out(self, rows: Rows, generator: np.random.Generator) -> list[Rows]:
        """For each mention the KB rows to leave out: its gold alone, or by chance all of its surname."""
        found = []
        for gold in self.gold[rows].tolist():
            alone = generator.random() < 0.5
            found.append(np.array([gold]) if alone else self.facts.of_surname(gold))
        return found
