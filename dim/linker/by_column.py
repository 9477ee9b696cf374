"""Scores of questions with the entities that are there now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.reranker.candidates import best_rows_of
from dim.search.entity_names import EntityNames
from dim.search.scores import Scores, scores_at


@dataclass(frozen=True)
class ByColumn:
    """Scores of a method whose columns are the entities that are there now (`dim.inference.scored.Scored`).

    Attributes:
        scores: Of n questions.
        rows: [num_entities], the row in the KB of each column, ascending.
    """

    scores: Scores
    rows: Rows

    def nearest(self, count: int) -> list[Rows]:
        """By all scores; equal ones by row."""
        return [self.rows[columns] for columns in best_rows_of(self.scores, count)]

    def at(self, rows: Sequence[Rows]) -> list[NDArray[np.float32]]:
        """The same scores."""
        return scores_at(self.scores, [np.searchsorted(self.rows, of_question) for of_question in rows])


@dataclass(frozen=True)
class ByName:
    """Scores of a method that counts names alone (`dim.inference.scored.Scored`): who is best is searched for.

    Attributes:
        mentions: [n].
        names: By row.
    """

    mentions: Sequence[str]
    names: EntityNames

    def nearest(self, count: int) -> list[Rows]:
        """The best; equal ones by row."""
        return list(self.names.search(self.mentions, count))

    def at(self, rows: Sequence[Rows]) -> list[NDArray[np.float32]]:
        """The same scores."""
        pairs = zip(self.mentions, rows, strict=True)
        return [self.names.scores_of([mention], own[None])[0] for mention, own in pairs]
