"""Who may be the answer: the best by vector and the best by name together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dim.core.arrays import Rows
from dim.search.entity_names import EntityNames
from dim.search.scores import Scores


def best_rows(scores: NDArray[np.float32], k: int, without: Sequence[int] | Rows = ()) -> Rows:
    """The k rows with the highest scores, in any order; fewer where there are no more.

    Args:
        scores: [num_entities].
        k: How many.
        without: Rows that are out of the question, each once.

    Example:
        >>> best_rows(np.array([0.9, 0.1, 0.5]), 1, without=[0]).tolist()
        [2]
    """
    out = np.asarray(without, dtype=np.int64)
    if len(out):
        scores = scores.copy()
        scores[out] = -np.inf
    k = min(k, len(scores) - len(out))
    return np.argpartition(-scores, k - 1)[:k].astype(np.int64) if k > 0 else np.empty(0, dtype=np.int64)


def best_rows_of(scores: Scores, k: int, without: Sequence[Rows] | None = None) -> list[Rows]:
    """For each of n mentions the k rows with the highest scores, as of `best_rows`.

    Args:
        scores: Of n mentions with the KB.
        k: How many a mention.
        without: For each mention the rows that are out of the question, each once.
    """
    found: list[list[Rows]] = [[] for _ in range(scores.num_mentions)]
    values: list[list[NDArray[np.float32]]] = [[] for _ in found]
    parts = list(scores.slices())
    for part in parts:
        block = scores.of(part).float().cpu().numpy()
        for place, row in enumerate(block):
            out = without[place] if without is not None else np.empty(0, dtype=np.int64)
            best = best_rows(row, k, out[(out >= part.start) & (out < part.stop)] - part.start)
            found[place].append(best + part.start)
            values[place].append(row[best])
    if len(parts) == 1:
        return [rows for [rows] in found]
    return [
        rows[best_rows(beside, k)]
        for rows, beside in zip(map(np.concatenate, found), map(np.concatenate, values), strict=True)
    ]


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
