"""Mentions of a run as its ranker answers them: their candidates, what is said of each, and which first answers hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.evaluation.protocols import NIL_ROW
from dim.reranker.calibration import expected_calibration_error
from dim.reranker.finder import Finder
from dim.reranker.lists import Lists
from dim.reranker.ranker import Judged, Ranker
from dim.training.crossfit import caption_folds
from dim.training.task import LinkingTask
from dim.training.unseen import rows_in_kb


@dataclass(frozen=True)
class Answered:
    """The mentions of a split, or some of them.

    Attributes:
        task: The run's method, opened.
        finder: Of candidates, as the ranker was trained with.
        ranker: The run's.
        split: Of its dataset.
        rows: [n] mention rows.
        lists: Their candidates.
        judged: What the ranker says of each. What comes after it says something else: methods take that.
    """

    task: LinkingTask
    finder: Finder
    ranker: Ranker
    split: str
    rows: Rows
    lists: Lists
    judged: list[Judged]

    @classmethod
    def of_split(cls, task: LinkingTask, finder: Finder, ranker: Ranker, split: str) -> Answered:
        """All mentions of a split."""
        rows = task.datamodule.rows(split).numpy()
        lists = finder.lists(task, rows)
        return cls(task, finder, ranker, split, rows, lists, ranker.judge(lists))

    @classmethod
    def to_learn_of(cls, task: LinkingTask, finder: Finder, ranker: Ranker, split: str) -> Answered:
        """All mentions of a split that weights are learned of: of several golds none is against the first.

        A ranker that learned of this split itself says of each mention what its network says that did not see it.
        """
        rows = task.datamodule.rows(split).numpy()
        lists = finder.lists(task, rows, finder.other_golds(rows))
        judged = ranker.judge(lists)
        if split == "tune":
            in_kb = np.flatnonzero(finder.golds[rows][:, 0] >= 0)
            unseen = unseen_judged(task, ranker, rows[in_kb], lists.take(in_kb))
            for place, said in zip(in_kb.tolist(), unseen, strict=True):
                judged[place] = said
        return cls(task, finder, ranker, split, rows, lists, judged)

    @classmethod
    def of_tune_in_kb(cls, task: LinkingTask, finder: Finder, ranker: Ranker) -> Answered:
        """As `to_learn_of`, the mentions of tune whose entity the KB has."""
        rows = rows_in_kb(task, "tune")
        lists = finder.lists(task, rows, finder.other_golds(rows))
        return cls(task, finder, ranker, "tune", rows, lists, unseen_judged(task, ranker, rows, lists))

    @property
    def golds(self) -> Rows:
        """KB rows [n, num_golds], -1 as padding, and for NIL."""
        golds: Rows = self.finder.golds[self.rows]
        return golds

    @property
    def in_kb(self) -> NDArray[np.bool_]:
        """Whether the KB has the entity of each mention [n]."""
        found: NDArray[np.bool_] = self.golds[:, 0] >= 0
        return found

    def is_first(self, judged: Sequence[Judged]) -> NDArray[np.bool_]:
        """Whether the best candidate of each mention [n] is one of its golds, whatever is said of NIL."""
        firsts = [
            int(self.lists.rows[start + said.order[0]]) if len(said.order) else NIL_ROW
            for start, said in zip(self.lists.starts[:-1], judged, strict=True)
        ]
        golds = self.golds
        found: NDArray[np.bool_] = ((np.array(firsts, np.int64)[:, None] == golds) & (golds >= 0)).any(1)
        return found

    def hits(self, judged: Sequence[Judged]) -> NDArray[np.bool_]:
        """Whether the first answer to each mention [n] is one of its golds; NIL never is. As of `to_ranked`."""
        says_nil = np.array([said.says_nil for said in judged], dtype=bool)
        found: NDArray[np.bool_] = self.is_first(judged) & ~says_nil
        return found

    def figures(self, judged: Sequence[Judged], which: NDArray[np.bool_]) -> dict[str, float]:
        """Top-1, and the calibration error of the first answers, of some mentions; Top-1 is NaN for none.

        Args:
            judged: What is said of n mentions; one without candidates has no probability to be off.
            which: [n], whom it is about.
        """
        hits = self.hits(judged)
        first = np.array([said.first_probability for said in judged], dtype=np.float64)
        told = which & np.isfinite(first)
        top1 = float(hits[which].mean()) if which.any() else float("nan")
        return {"top1": top1, "calibration_error": expected_calibration_error(first[told], hits[told])}


def unseen_judged(task: LinkingTask, ranker: Ranker, rows: Rows, lists: Lists) -> list[Judged]:
    """What a ranker says of mentions of tune, by networks that did not see them."""
    if ranker.facts.get("unseen") != "tune":
        return ranker.judge(lists)
    return ranker.judge(lists, caption_folds(task, rows, int(ranker.facts["folds"])))
