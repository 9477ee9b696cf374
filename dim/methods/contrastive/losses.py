"""Contrastive losses: the released N-pair loss, N-pair with the batch's golds, and any fitting library loss."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TypeAlias

import torch
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.losses import NPairsLoss
from pytorch_metric_learning.losses.base_metric_loss_function import BaseMetricLossFunction
from torch import Tensor, nn

from dim.errors import ConfigError

MOST_SCALE = 100  #: Of a scale that is trained.

#: Anchors and positives, anchors and negatives, as pytorch-metric-learning takes them (`indices_tuple`).
Pairs: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]


class ReleasedNPair(nn.Module):
    """The N-pair loss of the DIM release: every anchor meets the one negative that each row drew.

    mean_i log(1 + Σ_j exp(q_i · (n_j − p_i))) + l2_weight · mean_i(‖q_i‖² + ‖p_i‖²), on raw dot products
    (season1blue/DIM at 8c116a1, `nel_model/triplet_loss.py`).

    Args:
        l2_weight: Weight of the squared norms.
    """

    def __init__(self, l2_weight: float = 0.02) -> None:
        super().__init__()
        self.l2_weight = l2_weight

    def forward(self, query: Tensor, gold: Tensor, negative: Tensor, left_out: Tensor | None = None) -> Tensor:
        """The loss, a scalar, of query, gold and negative vectors [B, D] each.

        A query meets all negatives, as released, but for those that `left_out` [B, B] names.
        """
        margins = query @ negative.T - (query * gold).sum(1, keepdim=True)  # [B, B]
        if left_out is not None:
            margins = margins.masked_fill(left_out, -torch.inf)
        # log(1 + Σ exp(x)) = logsumexp(0, x): raw dot products overflow exp otherwise.
        losses = torch.cat([margins.new_zeros(len(margins), 1), margins], dim=1).logsumexp(1)
        norms = query.square().sum(1) + gold.square().sum(1)
        return losses.mean() + self.l2_weight * norms.mean()


class NPair(NPairsLoss):  # type: ignore[misc]  # the library is untyped
    """N-pair loss with every reference vector of another entity as a negative.

    A subclass of pytorch-metric-learning's `NPairsLoss`, which keeps one pair an id and takes no `ref_emb`. Here
    row i's positive is `ref_emb[i]`; reference vectors that share its label, or that `indices_tuple` (pairs) does not
    name as its negatives, are masked, not pushed away, and reference vectors beyond the batch are further negatives.
    On unique labels, unnormalised and with a scale of 1, the value is the library's.

    Args:
        scale: What similarities are multiplied by, at the start; more than 0.
        learn_scale: Whether it is trained: its logarithm, and as in CLIP never beyond a scale of 100.
        normalize: Whether similarity is the cosine; otherwise the dot product.
        label_smoothing: Share of the target that is spread over all reference vectors, 0 to 1.

    Raises:
        ValueError: The scale is none, or one that is trained is beyond 100.
    """

    def __init__(
        self, scale: float = 20.0, learn_scale: bool = True, normalize: bool = True, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(distance=DotProductSimilarity(normalize_embeddings=normalize))
        if not 0 < scale <= (MOST_SCALE if learn_scale else math.inf):
            most = f"at most {MOST_SCALE} where it is trained (learn_scale)"
            raise ValueError(f"scale is {scale}; it is more than 0, and {most}")
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=learn_scale)
        self.label_smoothing = label_smoothing

    def compute_loss(
        self, embeddings: Tensor, labels: Tensor, indices_tuple: Pairs | None, ref_emb: Tensor, ref_labels: Tensor
    ) -> dict[str, dict[str, object]]:
        """Losses [B] of embeddings [B, D] against ref_emb [B or more, D], row i's positive in row i."""
        if self.log_scale.requires_grad:
            # The parameter itself: a bound on what is computed of it would leave it no gradient to come back by.
            with torch.no_grad():
                self.log_scale.clamp_(max=math.log(MOST_SCALE))
        logits = self.distance(embeddings, ref_emb) * self.log_scale.exp()  # [B, R]
        positives = torch.arange(len(embeddings), device=logits.device)
        masked = labels[:, None] == ref_labels
        if indices_tuple is not None:
            masked[:] = True
            masked[indices_tuple[2], indices_tuple[3]] = False
        masked[positives, positives] = False
        logits = logits.masked_fill(masked, -torch.inf)
        losses = nn.functional.cross_entropy(logits, positives, reduction="none")
        if self.label_smoothing:
            log_shares = logits.log_softmax(1).masked_fill(masked, 0.0)
            uniform = -log_shares.sum(1) / (~masked).sum(1)
            losses = (1 - self.label_smoothing) * losses + self.label_smoothing * uniform
        return {"loss": {"losses": losses, "indices": positives, "reduction_type": "element"}}


Loss: TypeAlias = NPair | ReleasedNPair | BaseMetricLossFunction

#: Of the options of library losses that are objects, a class each.
_PARTS = {
    "distance": "distances.CosineSimilarity",
    "reducer": "reducers.MeanReducer",
    "embedding_regularizer": "regularizers.LpRegularizer",
}


def pairs_without(labels: Tensor, ref_labels: Tensor, left_out: Tensor) -> Pairs:
    """All pairs of rows [B] and references [R] by their labels, but for negatives that are left out [B, R].

    Example:
        >>> left_out = torch.tensor([[False, False, True], [False, False, False]])
        >>> pairs = pairs_without(torch.tensor([0, 1]), torch.tensor([0, 1, 2]), left_out)
        >>> [each.tolist() for each in pairs]
        [[0, 1], [0, 1], [0, 1, 1], [1, 0, 2]]
    """
    same = labels[:, None] == ref_labels
    anchors, positives = same.nonzero(as_tuple=True)
    others, negatives = (~same & ~left_out).nonzero(as_tuple=True)
    return anchors, positives, others, negatives


@torch.inference_mode(False)  # whoever opens a run may have turned gradients off
@torch.enable_grad()
def check_loss(loss: Loss, draws: bool = False, leaves_out: bool = False) -> None:
    """Refuses a library loss that cannot compare queries with a second set of vectors.

    Args:
        loss: The loss.
        draws: Whether the second set is larger than the first, by negatives that were drawn.
        leaves_out: Whether some pairs are to be left out (`pairs_without`), because mentions have several golds.

    Raises:
        ConfigError: The loss does not take (embeddings, labels, ref_emb, ref_labels), gives no gradient, or does not
            leave out what it should.
    """
    if isinstance(loss, ReleasedNPair):
        return
    _check_parts(loss)
    loss = deepcopy(loss).cpu()  # some remember what they saw, and one in training may be elsewhere
    generator = torch.Generator().manual_seed(0)
    gold = torch.tensor([0, 1, 2, 2])
    # A copy: the library reads the same tensor object as "these are one set" and returns 0.
    others = torch.cat([gold, torch.tensor([3, 4])]) if draws or leaves_out else gold.clone()
    left_out = (others == 4).expand(len(gold), -1)
    pairs = pairs_without(gold, others, left_out) if leaves_out else None
    try:
        for _ in range(2):  # some keep the first step's graph and fail in the second
            query = torch.randn(len(gold), 8, generator=generator, requires_grad=True)
            vectors = torch.randn(len(others), 8, generator=generator, requires_grad=True)
            value = loss(query, gold, pairs, ref_emb=vectors, ref_labels=others)
            value.backward()
    except Exception as error:
        raise _refusal(loss, str(error) or type(error).__name__) from error
    if query.grad is None:
        raise _refusal(loss, "it gives the queries no gradient")
    if vectors.grad is None or not vectors.grad.any():
        raise _refusal(loss, "its value does not depend on ref_emb, the entities' vectors")
    if leaves_out and vectors.grad[others == 4].any():
        raise ConfigError(
            "a loss that leaves out pairs of a mention and another gold of it, as mentions here have several golds",
            f"{type(loss).__name__}, which has no part in indices_tuple",
            "Name NPair, ReleasedNPair or NTXentLoss.",
        )


def _check_parts(loss: Loss) -> None:
    """Refuses what stands for an object of the library and is none: such an option is passed on as it was written."""
    for name, example in _PARTS.items():
        given = getattr(loss, name, None)
        if isinstance(given, str | dict | list):
            raise ConfigError(
                f"an object of pytorch-metric-learning as the {name} of {type(loss).__name__}",
                f"{given!r}, which names no class that can be had",
                "Write it with its module, such as "
                f'--model.loss.{name} \'{{"class_path": "pytorch_metric_learning.{example}"}}\'.',
            )


def _refusal(loss: Loss, reason: str) -> ConfigError:
    return ConfigError(
        "a loss that takes (embeddings, labels, ref_emb, ref_labels)",
        f"{type(loss).__name__}: {reason}",
        "Name NPair, ReleasedNPair or a pair or triplet loss of pytorch-metric-learning, such as NTXentLoss.",
    )
