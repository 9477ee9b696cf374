"""What a mention is ranked against: the whole KB, or a list of candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from dim.data.dataset import NIL, Dataset
from dim.errors import DataError
from dim.evaluation.metrics import golds_table
from dim.evaluation.slices import place_golds
from dim.search.lexical import NameIndex
from dim.search.scores import HeldScores, Scores, scores_by_slice

NUM_ANSWERS = 20  #: Answers that are kept for each mention.
NIL_ROW = -2  #: In the place of a KB row: the answer that the KB has no such entity.


@dataclass(frozen=True)
class Ranked:
    """The outcome of ranking a batch of mentions.

    Attributes:
        ranks: [n] float64, of the best gold; NaN where there is none (NIL) or the candidates miss all.
        ties: [n] int64, entities that are no gold and have its score; 0 where there is no rank.
        hits: [n] bool, whether a gold was among the candidates; False for NIL.
        rows: [n, k] int64, KB rows of the answers, best first; -1 where there are fewer, NIL_ROW for NIL.
        scores: [n, k] float32 beside them; -inf where there is no answer.
        probability: [n] float64, how probable the first answer is; None: the method has no word for it.
    """

    ranks: NDArray[np.float64]
    ties: NDArray[np.int64]
    hits: NDArray[np.bool_]
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    probability: NDArray[np.float64] | None = None

    @classmethod
    def from_lists(
        cls,
        rows: Sequence[NDArray[np.int64]],
        scores: Sequence[NDArray[np.float32]],
        gold: NDArray[np.int64],
        probability: NDArray[np.float64] | None = None,
    ) -> Ranked:
        """The outcome of lists in their final order: a place is a rank, and nothing ties.

        Args:
            rows: For each mention its KB rows or NIL_ROW, best first, each at most once.
            scores: Beside them.
            gold: [n] KB rows, -1 for NIL; or [n, num_golds], -1 as padding.
            probability: Of each first answer.

        Example:
            >>> ranked = Ranked.from_lists([np.array([7, 4])], [np.array([-0.1, -2.0])], np.array([4]))
            >>> ranked.ranks.tolist()
            [2.0]
        """
        golds = gold if gold.ndim == 2 else gold[:, None]
        places = [np.flatnonzero(np.isin(found, of[of >= 0])) for found, of in zip(rows, golds, strict=True)]
        hits = np.array([len(place) > 0 for place in places], dtype=bool)
        answers = np.full((len(rows), NUM_ANSWERS), -1, dtype=np.int64)
        values = np.full((len(rows), NUM_ANSWERS), -np.inf, dtype=np.float32)
        for place, (found, beside) in enumerate(zip(rows, scores, strict=True)):
            answers[place, : len(found)] = found[:NUM_ANSWERS]
            values[place, : len(found)] = beside[:NUM_ANSWERS]
        return cls(
            ranks=np.array(
                [place[0] + 1 if hit else np.nan for place, hit in zip(places, hits, strict=True)], np.float64
            ),
            ties=np.zeros(len(rows), dtype=np.int64),
            hits=hits,
            rows=answers,
            scores=values,
            probability=probability,
        )

    @classmethod
    def concatenate(cls, parts: list[Ranked]) -> Ranked:
        """One outcome of many batches, in order. Raises ValueError where there is none."""
        names = ("ranks", "ties", "hits", "rows", "scores")
        known = [part.probability for part in parts if part.probability is not None]
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
            probability=np.concatenate(known) if len(known) == len(parts) else None,
        )

    def answers(self, dataset: Dataset) -> tuple[list[list[str]], list[list[float]]]:
        """Entity ids (`NIL` for NIL) and scores a mention, best first, without the places that have no answer."""
        # NIL_ROW and -1 take the last places of a list that is longer than the KB.
        ids = np.append(dataset.entities["id"].to_numpy(dtype=object), [NIL, None])
        kept = [rows != -1 for rows in self.rows]
        return (
            [ids[rows[mask]].tolist() for rows, mask in zip(self.rows, kept, strict=True)],
            [scores[mask].tolist() for scores, mask in zip(self.scores, kept, strict=True)],
        )


class Protocol(ABC):
    """Decides which entities compete. `name` stands wherever a number of the protocol stands."""

    name: str
    ties_for_gold = False
    is_written = False  #: Whether a model writes its answers, so that there are no scores of all entities.

    @abstractmethod
    def candidates(self, dataset: Dataset, mentions: pd.DataFrame) -> Tensor | None:
        """KB rows [n, num_candidates], -1 as padding, for the given rows of `dataset.mentions`; None: all."""

    def rank(self, scores: Scores | Tensor, gold: Tensor, candidates: Tensor | None) -> Ranked:
        """Ranks a batch.

        Args:
            scores: Of n mentions with the KB, or a tensor [n, num_entities]; higher is better; compared as float32.
            gold: [n] int64 KB rows, -1 for NIL; or [n, num_golds], -1 as padding.
            candidates: [n, num_candidates] KB rows, -1 as padding, or None: every entity competes.

        Raises:
            DataError: A score is not finite.
        """
        competing, golds = scores_by_slice(scores).held(), golds_table(gold)
        columns = golds
        if candidates is not None:
            # Half precision would round scores to ties.
            listed = competing.at(candidates.clamp_min(0)).float().masked_fill(candidates < 0, -torch.inf)
            competing = HeldScores(listed)
            is_gold = candidates[:, :, None] == golds[:, None]  # [n, num_candidates, num_golds]
            columns = torch.where(is_gold.any(1) & (golds >= 0), is_gold.int().argmax(1), -1)
        placed = place_golds(competing, columns, min(NUM_ANSWERS, competing.num_entities))
        hits = (columns >= 0).any(1).cpu().numpy()
        ranks = (placed.ranks - placed.ties if self.ties_for_gold else placed.ranks).cpu().numpy()
        rows = placed.columns if candidates is None else candidates.gather(1, placed.columns)
        return Ranked(
            ranks=np.where(hits, ranks, np.nan),
            ties=placed.ties.cpu().numpy(),
            hits=hits,
            rows=rows.cpu().numpy(),
            scores=placed.values.cpu().numpy(),
        )


class FullKB(Protocol):
    """Every entity of the KB competes (the default)."""

    name = "full_kb"

    def candidates(self, dataset: Dataset, mentions: pd.DataFrame) -> None:
        """None: all."""


class Generative(Protocol):
    """The names that a generative model writes, in the order of their likelihood.

    A gold that is not among them is a miss at every k, with reciprocal rank 0.
    """

    name = "generative"
    is_written = True

    def candidates(self, dataset: Dataset, mentions: pd.DataFrame) -> None:
        """None: every name may be written."""


class Candidates(Protocol):
    """A list of candidates competes; where it holds no gold, that is missed at every k.

    Args:
        source: `released`: the candidates of the dataset; `names`: the entities whose names are most similar to
            the mention by character n-grams.
        size: At most so many candidates a mention.
        inject_gold: Whether a missing gold (the first) replaces the last candidate and ties count for the gold, as in
            the released DIM (about 100 candidates). Figures under it say so and compare with nothing else.
    """

    def __init__(
        self, source: Literal["released", "names"] = "names", size: int = 100, inject_gold: bool = False
    ) -> None:
        self.source, self.size, self.inject_gold = source, size, inject_gold
        self.ties_for_gold = inject_gold
        self.name = f"candidates({source}, {size}{', gold injected' if inject_gold else ''})"

    def candidates(self, dataset: Dataset, mentions: pd.DataFrame) -> Tensor:
        """KB rows [n, at most size], -1 as padding.

        Raises:
            DataError: The dataset has no released candidates.
        """
        if self.source == "names":
            index = NameIndex(dataset.entities["name"].tolist())
            rows = index.search(mentions["mention"].tolist(), self.size)
        else:
            rows = self._released(dataset, mentions)
        if self.inject_gold:
            golds = dataset.golds_of(mentions)
            holds = np.any([(own >= 0) & (rows == own[:, None]).any(1) for own in golds.T], axis=0)
            missed = (golds[:, 0] >= 0) & ~holds
            rows[missed, -1] = golds[missed, 0]
        return torch.from_numpy(rows)

    def _released(self, dataset: Dataset, mentions: pd.DataFrame) -> NDArray[np.int64]:
        if mentions["candidates"].isna().all():
            raise DataError(
                f"released candidates in {dataset.name}",
                "none in mentions.parquet",
                "Use --data.protocol Candidates with source: names, or prepare a release that has them.",
            )
        rows = np.full((len(mentions), self.size), -1, dtype=np.int64)
        for place, ids in enumerate(mentions["candidates"]):
            if ids is not None:
                known = dataset.entity_index.get_indexer(pd.Index(list(ids), dtype=object))
                known = pd.unique(known[known >= 0])[: self.size]
                rows[place, : len(known)] = known
        return rows
