"""Ranking by the names alone, and by names and how well known the entities are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dim.errors import ConfigError
from dim.evaluation.metrics import summarize_ranks
from dim.evaluation.protocols import Ranked
from dim.inference.data import EVALUATION_BATCH
from dim.methods.baselines.text_method import Counted, TextMethod
from dim.search.lexical import NameIndex
from dim.search.scores import Scores

WEIGHTS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  #: Weights of popularity that are tried on tune.


class NameMethod(TextMethod):
    """What answers of `NamesOnly`, whose options it takes."""

    def __init__(self, seed: int = 0, aliases: bool = False) -> None:
        super().__init__(seed=seed)
        self.aliases = aliases

    @property
    def counted(self) -> Counted | None:
        """The strings that count, where a subclass has not other scores."""
        if type(self).scores_for is not NameMethod.scores_for:
            return None
        return "names and aliases" if self.aliases else "names"

    def index_kb(
        self, names: Sequence[str], texts: Sequence[str | None], popularity: NDArray[np.float64], of: str
    ) -> None:
        """Indexes the names, and the aliases where they count."""
        if not any(names):
            raise ConfigError("names of entities, which alone count here", f"none in {of}", "Do not leave them out.")
        self.index = NameIndex(names, self.kb_aliases if self.aliases else None)

    def scores_for(self, mentions: Sequence[str], contexts: Sequence[str], device: torch.device) -> Scores:
        """Cosines, between 0 and 1."""
        return self.index.scores(mentions, device)


class WithPopularity(Scores):
    """Scores to which every entity adds something, whatever the mention.

    Args:
        scores: Of mentions with the KB.
        added: [num_entities], float32.
    """

    def __init__(self, scores: Scores, added: Tensor) -> None:
        super().__init__(scores.num_mentions, scores.num_entities)
        self.scores, self.added = scores, added

    def of(self, entities: slice) -> Tensor:
        """The sum."""
        return self.scores.of(entities) + self.added[entities]

    def of_some(self, entities: slice, mentions: Tensor) -> Tensor:
        """The sum."""
        return self.scores.of_some(entities, mentions) + self.added[entities]


class PopularityMethod(NameMethod):
    """What answers of `NamesAndPopularity`, whose options it takes."""

    def __init__(self, weight: float | None = None, seed: int = 0, aliases: bool = False) -> None:
        super().__init__(seed, aliases)
        self.weight = weight

    def index_kb(
        self, names: Sequence[str], texts: Sequence[str | None], popularity: NDArray[np.float64], of: str
    ) -> None:
        """Indexes the names and scales popularity.

        Raises:
            ConfigError: The KB has no popularity.
        """
        super().index_kb(names, texts, popularity, of)
        known = np.isfinite(popularity)
        if not known.any():
            raise ConfigError(
                "the popularity of entities in the KB",
                f"none in {of}",
                "Add a column popularity (sitelinks, page views) to the entity table and run dim prepare again.",
            )
        scaled = np.log1p(np.clip(popularity, 0, None))
        scaled = np.where(known, scaled / max(float(scaled[known].max()), 1e-12), 0.0)
        self.popularity = torch.from_numpy(scaled.astype(np.float32))

    def on_scoring_start(self) -> None:
        """Chooses the weight on tune, once."""
        if self.weight is None:
            self.weight = self._best_weight()
            self.chosen = {"weight": self.weight}

    def scores_for(self, mentions: Sequence[str], contexts: Sequence[str], device: torch.device) -> Scores:
        """The cosines, and what the entities' popularity adds."""
        assert self.weight is not None
        return WithPopularity(super().scores_for(mentions, contexts, device), self.weight * self.popularity.to(device))

    def _best_weight(self) -> float:
        data, rows = self.data, self.datamodule.rows("tune")
        rows = rows[data.gold.cpu()[rows] >= 0]
        reached = {}
        for weight in WEIGHTS:
            self.weight = weight
            parts = [
                data.protocol.rank(self.scores_of(batch), data.golds_of(batch), data.candidates_of(batch))
                for batch in rows.split(EVALUATION_BATCH)
            ]
            reached[weight] = summarize_ranks(Ranked.concatenate(parts).ranks)["mrr"]
        return max(reached, key=lambda weight: reached[weight])
