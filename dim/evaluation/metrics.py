"""Ranks from scores, and Top-k and MRR from ranks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dim.errors import DataError

TIE = 1e-6  #: Scores closer than this are equal (fp32 sums differ by about as much between machines).
COUNTED = 2**20  # scores that are counted at once: to count them, torch makes an integer of each, of eight bytes
CUTOFFS = (1, 3, 5, 10, 20)


def rank_gold(scores: Tensor, gold: Tensor) -> tuple[Tensor, Tensor]:
    """The rank of each row's gold column, ties counted against it, and how many columns tie with it.

    Of several golds the best one is ranked, and the others stand neither before it nor beside it.

    Args:
        scores: [n, num_columns], float32, higher is better. Columns that are no candidates hold -inf.
        gold: [n], int64, a column each; or [n, num_golds], at least one a row, -1 as padding.

    Returns:
        ranks [n] and ties [n], int64. A rank is 1-based. With no row both are empty.

    Raises:
        DataError: A score is NaN or +inf, or a best gold's score is -inf.

    Example:
        >>> rank_gold(torch.tensor([[0.9, 0.5, 0.5]]), torch.tensor([1]))
        (tensor([3]), tensor([1]))
    """
    golds = golds_table(gold)
    of_golds = scores.gather(1, golds.clamp_min(0)).masked_fill(golds < 0, -torch.inf)
    best = of_golds.amax(1, keepdim=True)
    check_finite(scores.amax(1, keepdim=True) if scores.numel() else best, best)
    counted, above = count_against(scores, best)
    ranks = counted - others_beside(of_golds)
    return ranks, ranks - above - 1


def golds_table(gold: Tensor) -> Tensor:
    """Golds [n, num_golds], of those or of one gold [n] a mention."""
    return gold if gold.dim() == 2 else gold[:, None]


def others_beside(of_golds: Tensor) -> Tensor:
    """How many of a mention's golds tie with its best one, beside itself: they do not count against it.

    Args:
        of_golds: [n, num_golds], the golds' scores, -inf where there is none.

    Example:
        >>> others_beside(torch.tensor([[0.5, 0.5, 0.1], [0.5, -torch.inf, -torch.inf]]))
        tensor([1, 0])
    """
    tied = (of_golds >= of_golds.amax(1, keepdim=True) - TIE) & of_golds.isfinite()
    return (tied.sum(1) - 1).clamp_min(0)


def count_against(scores: Tensor, gold_scores: Tensor) -> tuple[Tensor, Tensor]:
    """How many columns count against each row's gold, ties and the gold itself among them; and how many without ties.

    Args:
        scores: [n, num_columns], float32.
        gold_scores: [n, 1]; nothing counts against NaN.

    Returns:
        Two counts [n], int64.
    """
    height = max(1, COUNTED // max(1, scores.shape[1]))
    parts = list(zip(scores.split(height), gold_scores.split(height), strict=True))
    return (
        torch.cat([(part >= gold - TIE).sum(1) for part, gold in parts]),
        torch.cat([(part > gold + TIE).sum(1) for part, gold in parts]),
    )


def check_finite(highest: Tensor, gold_scores: Tensor) -> None:
    """Raises DataError where a highest score or a gold's score is NaN or infinite; NaN is higher than every number."""
    # NaN survives amax, so two reductions see every bad score.
    if not (torch.isfinite(gold_scores).all() and torch.isfinite(highest).all()):
        raise DataError(
            "finite scores",
            f"{int((~torch.isfinite(highest) | ~torch.isfinite(gold_scores)).sum())} mentions with NaN or inf",
            "The training diverged: lower the learning rate, or look at the features of these mentions.",
        )


def summarize_ranks(ranks: ArrayLike, depth: int | None = None) -> dict[str, float]:
    """Top-1/3/5/10/20 and MRR, as shares between 0 and 1.

    Args:
        ranks: [n], 1-based; NaN or inf where the gold was not found (a miss at every k, reciprocal rank 0).
        depth: How many answers a mention there are at most; None: all.

    Returns:
        `top1` … `top20` and `mrr`; NaN each where there is no rank at all, and `topk` for a k beyond the depth.

    Raises:
        ValueError: A rank is below 1.

    Example:
        >>> summarize_ranks([1, 2, float("nan")])["mrr"]
        0.5
    """
    values: NDArray[np.float64] = np.asarray(ranks, dtype=np.float64)
    values = np.where(np.isnan(values), np.inf, values)
    if (values < 1).any():
        raise ValueError(f"ranks are 1-based, found {values.min()}")
    if values.size == 0:
        return dict.fromkeys([*(f"top{k}" for k in CUTOFFS), "mrr"], float("nan"))
    shares = {f"top{k}": float((values <= k).mean()) if depth is None or k <= depth else np.nan for k in CUTOFFS}
    return shares | {"mrr": float((1.0 / values).mean())}


def measure_nil(is_nil: ArrayLike, said_nil: ArrayLike) -> dict[str, float]:
    """Precision, recall and F1 of NIL as an answer, as shares between 0 and 1.

    Args:
        is_nil: [n] bool, whether the KB lacks the mention's entity.
        said_nil: [n] bool, whether the first answer is NIL.

    Returns:
        NaN for what has nothing to be measured on: precision where NIL was never said, recall where nothing is NIL.

    Example:
        >>> measure_nil([True, True, False], [True, False, False])
        {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666}
    """
    is_nil, said_nil = np.asarray(is_nil, bool), np.asarray(said_nil, bool)
    right, said, wanted = int((is_nil & said_nil).sum()), int(said_nil.sum()), int(is_nil.sum())
    return {
        "precision": right / said if said else float("nan"),
        "recall": right / wanted if wanted else float("nan"),
        "f1": 2 * right / (said + wanted) if said + wanted else float("nan"),
    }
