"""The candidates of a run's mentions, with what speaks for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.core.progress import tracked
from dim.inference.method import Method
from dim.reranker.candidates import best_rows_of, competing
from dim.reranker.entities import EntityFacts
from dim.reranker.features import FEATURES, Asked, PairFeatures
from dim.reranker.lists import Lists
from dim.search.entity_names import EntityNames
from dim.search.scores import BATCH, scores_at, scores_by_slice


class Finder:
    """Finds the candidates of a run's mentions and what speaks for each.

    Args:
        task: The run's method, opened; its data is the run's.
        num_candidates: How many come from the vectors, or of the names that a language model writes, and how many are
            alike by name.
    """

    def __init__(self, task: Method, num_candidates: int) -> None:
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
        self.golds = data.golds_of(torch.arange(len(data.gold))).numpy()  # [num_mentions, num_golds]
        mentions = data.dataset.mentions
        self.mentions, self.contexts = mentions["mention"].tolist(), mentions["context"].tolist()
        fields = data.mention_fields
        present = {
            name: fields[name].rows.cpu().numpy() >= 0 if name in fields else None for name in ("image", "caption")
        }
        self._has = {
            name: np.zeros(len(mentions), dtype=bool) if mask is None else mask for name, mask in present.items()
        }

    def lists(self, tower: Method, rows: Rows, without: Sequence[Rows] | None = None) -> Lists:
        """The candidates of mention rows [n], scored by `tower`; without KB rows that are held out from each."""
        if not len(rows):
            return Lists.of_none(len(FEATURES))
        starts = range(0, len(rows), BATCH)
        steps = tracked(starts, "candidates", len(starts))
        found = (
            part
            for start in steps
            for part in self._block(tower, rows[start : start + BATCH], without and without[start : start + BATCH])
        )
        return Lists.join(found)

    def _block(
        self, tower: Method, rows: Rows, without: Sequence[Rows] | None
    ) -> Iterator[tuple[Rows, NDArray[np.float64], Rows]]:
        limits = self.data.candidates_of(torch.from_numpy(rows))
        held_out = without if without is not None else [np.empty(0, dtype=np.int64)] * len(rows)
        with torch.inference_mode():
            asked = torch.from_numpy(rows).to(tower.device)
            scored = _AllScored(tower, asked, held_out) if tower.scores_all else tower.scored(asked, held_out)
            nearest = [] if limits is not None else scored.nearest(self.num_candidates)
            # The names at once, mention by mention: they remember one search.
            found = [self._competing(row, place, nearest, limits, held_out) for place, row in enumerate(rows.tolist())]
            vectors = scored.at([candidates for candidates, _ in found])
        for row, (candidates, names), beside in zip(rows.tolist(), found, vectors, strict=True):
            has_image, has_caption = (bool(self._has[name][row]) for name in ("image", "caption"))
            facts = Asked(self.mentions[row], self.contexts[row], has_image, has_caption)
            yield candidates, self.features.of(facts, candidates, beside, names), self.golds[row]

    def _competing(
        self, row: int, place: int, nearest: Sequence[Rows], limits: torch.Tensor | None, held_out: Sequence[Rows]
    ) -> tuple[Rows, NDArray[np.float32]]:
        best, allowed = (nearest[place], None) if limits is None else ((), np.unique(limits[place].cpu().numpy()))
        allowed = None if allowed is None else allowed[allowed >= 0]
        return competing(best, self.mentions[row], self.names, self.num_candidates, allowed, held_out[place])

    def hold_out(self, rows: Rows, generator: np.random.Generator) -> list[Rows]:
        """For each mention the KB rows to leave out: its golds alone, or by chance all of the first one's surname.

        Of a mention without a gold there is none.
        """
        found = []
        for golds in self.golds[rows]:
            alone = generator.random() < 0.5
            own = golds[golds >= 0]
            found.append(own if alone or not len(own) else np.union1d(own, self.facts.of_surname(golds[0])))
        return found

    def other_golds(self, rows: Rows) -> list[Rows]:
        """For each mention its golds but the first: the ranker learns one, and the others are not against it."""
        return [golds[1:][golds[1:] >= 0] for golds in self.golds[rows]]


class _AllScored:
    """Of a method that scores all entities (`dim.inference.scored.Scored`)."""

    def __init__(self, tower: Method, rows: torch.Tensor, without: Sequence[Rows]) -> None:
        self._scores = scores_by_slice(tower.scores_of(rows)).held()
        self._without, self._device = without, tower.device

    def nearest(self, count: int) -> list[Rows]:
        """The best; equal ones by row."""
        return best_rows_of(self._scores, count, self._without)

    def at(self, rows: Sequence[Rows]) -> list[NDArray[np.float32]]:
        """Their scores."""
        return scores_at(self._scores, rows, self._device)
