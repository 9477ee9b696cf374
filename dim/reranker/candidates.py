"""Who may be the answer: the best by vector and the best by name together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dim.core.arrays import Rows
from dim.search.entity_names import EntityNames
from dim.search.exact import Best
from dim.search.scores import Scores


def best_rows_of(scores: Scores, k: int, without: Sequence[Rows] | None = None) -> list[Rows]:
    """For each of n mentions the k rows with the highest scores, best first; fewer where there are no more.

    Args:
        scores: Of n mentions with the KB.
        k: How many a mention.
        without: For each mention the rows that are out of the question, each once; their scores count as -inf.

    Example:
        >>> from dim.search.scores import HeldScores
        >>> best_rows_of(HeldScores(torch.tensor([[0.9, 0.1, 0.5]])), 1, without=[np.array([0])])
        [array([2])]
    """
    best = Best(min(k, scores.num_entities))
    for part in scores.slices():
        block = scores.of(part)
        here = [out[(out >= part.start) & (out < part.stop)] - part.start for out in without or ()]
        if any(map(len, here)):
            block = block.clone()
            for row, out in zip(block, here, strict=True):
                row[out] = -torch.inf
        best.add(block, part.start)
    found = list(best.columns.cpu().numpy())
    if without is None:
        return found
    return [rows[: max(0, scores.num_entities - len(out))] for rows, out in zip(found, without, strict=True)]


def unite(dense: ArrayLike, mention: str, names: EntityNames, k: int, without: Sequence[int] | Rows = ()) -> Rows:
    """The rows [c], ascending, of what dense search found and of the k entities with the most similar names.

    Args:
        dense: Rows of the best by vector.
        mention: Whose name is looked for.
        names: The names and aliases of the KB.
        k: How many come from the names.
        without: Rows that are out of the question, each once.

    Example:
        >>> unite([2], "ann lee", EntityNames(["Ann Lee", "Bob Ray", "Cy Hall"]), k=1).tolist()
        [0, 2]
    """
    out = np.asarray(without, dtype=np.int64)
    [lexical] = names.search([mention], k + len(out))
    lexical = lexical[~np.isin(lexical, out)][:k]
    return np.unique(np.concatenate([np.asarray(dense, dtype=np.int64), lexical]))


def competing(
    nearest: ArrayLike,
    mention: str,
    names: EntityNames,
    k: int,
    allowed: Rows | None = None,
    without: Sequence[int] | Rows = (),
    least: int = 0,
) -> tuple[Rows, NDArray[np.float32]]:
    """Who competes for a mention, be it of a run or of a question.

    Args:
        nearest: Rows of the best by the method's scores; `k` of them compete.
        mention: Whose name is looked for.
        names: The names and aliases of the KB.
        k: How many come from the scores, and how many from the names.
        allowed: Rows that alone compete; None: those that are found.
        without: Rows that are out of the question, each once.
        least: So many compete, where further ones of `nearest` are there.

    Returns:
        Their rows [c], ascending, and the cosines [c] of the mention with their names.
    """
    if allowed is not None:
        rows = np.setdiff1d(allowed, np.asarray(without, dtype=np.int64))
    else:
        best = np.asarray(nearest, dtype=np.int64)
        rows = unite(best[:k], mention, names, k, without)
        if (lacking := least - len(rows)) > 0:
            rows = np.union1d(rows, best[~np.isin(best, rows)][:lacking])
    return rows, names.scores_of([mention], rows[None])[0]
