"""Whether the KB has a mention's entity at all: a probability from the whole list, and a threshold for a precision."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dim.core.arrays import Floats
from dim.reranker.lists import Lists
from dim.reranker.network import RankerNetwork, descend

#: What stands before the features of the first candidate.
LIST_FEATURES = ("top score", "lead of the top score", "top probability", "logarithm of the scores' mass")


def describe_lists(lists: Lists, scores: Floats) -> Floats:
    """The shape of each list's scores, and its first candidate's features [n, 4 + num_features].

    Args:
        lists: n lists, none empty.
        scores: [num_pairs], the ranker's.
    """
    table = lists.table(scores).astype(np.float64)
    order = np.sort(table, axis=1)[:, ::-1]
    top = order[:, 0]
    mass = np.log(np.exp(table - top[:, None]).sum(1))
    second = order[:, 1] if order.shape[1] > 1 else np.full(len(top), -np.inf)
    lead = np.minimum(top - second, 20.0)
    shape = np.stack([top, lead, np.exp(-mass), top + mass], axis=1).astype(np.float32)
    return np.concatenate([shape, lists.features[lists.starts[:-1] + table.argmax(1)]], axis=1)


def train_nil(
    network: RankerNetwork,
    described: Floats,
    is_nil: NDArray[np.bool_],
    weights: NDArray[np.float64],
    folds: NDArray[np.int64],
    *,
    seed: int,
) -> None:
    """Trains to tell NIL by its logit; a vote sees all folds but its own.

    Args:
        network: What is trained.
        described: [n, width], of `describe_lists`.
        is_nil: [n], whether the list lacks its gold because the KB does.
        weights: [n], how much each list counts.
        folds: [n].
        seed: Of order and dropout.
    """
    features, wanted = torch.from_numpy(described), torch.from_numpy(is_nil.astype(np.float32))
    counts, fold = torch.from_numpy(weights.astype(np.float32)), torch.from_numpy(folds)
    votes = torch.arange(len(network.first))

    def loss_of(chosen: Tensor) -> Tensor:
        logits = network.vote(features[chosen])
        weight = counts[chosen] * (fold[chosen] != votes[:, None])
        losses = binary_cross_entropy_with_logits(logits, wanted[chosen].expand_as(logits), reduction="none")
        return ((losses * weight).sum(1) / weight.sum(1).clamp_min(1e-6)).sum()

    network.fit_scale(features)
    descend(network, loss_of, len(features), epochs=40, batch_size=512, seed=seed)


def threshold_for(
    scores: ArrayLike, is_nil: ArrayLike, precision: float, weights: ArrayLike | None = None
) -> float | None:
    """The lowest score from which on NIL is right with the precision; None where no threshold reaches it.

    Args:
        scores: [n], higher is more like NIL.
        is_nil: [n] bool.
        precision: Between 0 and 1.
        weights: [n], how much each mention counts; None: all alike.

    Example:
        >>> threshold_for([0.9, 0.8, 0.7, 0.1], [True, False, True, False], 0.6)
        0.7
    """
    values, right = np.asarray(scores, dtype=np.float64), np.asarray(is_nil, dtype=np.float64)
    counts = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    reached = np.cumsum((right * counts)[order]) / np.cumsum(counts[order]) >= precision
    places = np.flatnonzero(reached & _last_of_equals(values[order]))
    return float(values[order][places[-1]]) if len(places) else None


def best_f1(scores: ArrayLike, is_nil: ArrayLike) -> float:
    """The threshold that is best for NIL's F1: what a score could do if the answer were known.

    Args:
        scores: [n], higher is more like NIL; at least one mention.
        is_nil: [n] bool.

    Example:
        >>> best_f1([0.9, 0.8, 0.1], [True, True, False])
        0.8
    """
    values, nil = np.asarray(scores, dtype=np.float64), np.asarray(is_nil, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    f1 = 2 * np.cumsum(nil[order]) / (np.arange(1, len(values) + 1) + nil.sum())
    return float(values[order][np.where(_last_of_equals(values[order]), f1, -1.0).argmax()])


def _last_of_equals(ordered: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a threshold may stand in scores [n] that fall: equal ones are said together, so at the last of them."""
    return np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]


def linking_scores(
    says_nil: ArrayLike, is_nil: ArrayLike, is_right: ArrayLike, kinds: ArrayLike | None = None
) -> dict[str, float]:
    """F1 in the KB and of NIL, as shares; recall of each kind of NIL beside them.

    Args:
        says_nil: [n] bool, whether the answer is NIL.
        is_nil: [n] bool, whether it should be.
        is_right: [n] bool, whether the first entity is the gold.
        kinds: [n], a word for each NIL mention, such as `confusable`; None: no kinds.

    Returns:
        `in_kb_precision`, `in_kb_recall`, `in_kb_f1`, `nil_precision`, `nil_recall`, `nil_f1`, and for each kind
        `nil_recall_KIND` and `nil_f1_KIND` (false alarms of all mentions in the KB counted); 0 where nothing is said.

    Example:
        >>> linking_scores([True, False], [True, False], [False, True])["in_kb_f1"]
        1.0
    """
    said, nil, right = (np.asarray(values, dtype=bool) for values in (says_nil, is_nil, is_right))
    linked = int((~said & ~nil & right).sum())
    found = {
        "in_kb_precision": linked / max(int((~said).sum()), 1),
        "in_kb_recall": linked / max(int((~nil).sum()), 1),
        "in_kb_f1": 2 * linked / max(int((~said).sum() + (~nil).sum()), 1),
    }
    names = [("", nil)]
    if kinds is not None:
        labels = np.asarray(kinds, dtype=object)
        names += [(f"_{kind}", nil & (labels == kind)) for kind in sorted(set(labels[nil].tolist()))]
    for name, wanted in names:
        hits, claims = int((said & wanted).sum()), int((said & (wanted | ~nil)).sum())
        found |= {
            f"nil_precision{name}": hits / max(claims, 1),
            f"nil_recall{name}": hits / max(int(wanted.sum()), 1),
            f"nil_f1{name}": 2 * hits / max(claims + int(wanted.sum()), 1),
        }
    return found
