"""The three interaction units of MIMIC: Luo et al., KDD 2023 (arXiv 2307.09721), sections 3.3.1 to 3.3.3.

Where the paper leaves a layer open, its release (pengfei-luo/MIMIC, codes/model/modeling_mimic.py) is followed:
`cls_fc` before the vision unit, the normalisation of its query, one set of weights for both sides of the cross unit.
Each unit first makes of a side what does not depend on the other one, so that a KB is worked on once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax


class Side(NamedTuple):
    """The features of n mentions, or of n entities, of one kind.

    Attributes:
        whole: [n, D], the global feature; zeros where there is none.
        local: [n, t, D'], the local ones: a text's tokens, an image's patches; zeros as padding.
        mask: [n, t], which of them are there; None: all.
    """

    whole: Tensor
    local: Tensor
    mask: Tensor | None = None

    def mean(self) -> Tensor:
        """The mean [n, D'] of the local features; zeros where there is none."""
        if self.mask is None:
            return self.local.mean(1)
        return (self.local * self.mask[:, :, None]).sum(1) / self.mask.sum(1).clamp_min(1)[:, None]


class MentionText(NamedTuple):
    """What the text unit makes of m mentions: `whole` [m, D], `keys` and `values` [m, t, d], `mask` [m, t] or None."""

    whole: Tensor
    keys: Tensor
    values: Tensor
    mask: Tensor | None


class EntityText(NamedTuple):
    """The same of n entities: `whole` [n, D], `target` [n, d], `queries` [n, t, d], `mask` [n, t] or None."""

    whole: Tensor
    target: Tensor
    queries: Tensor
    mask: Tensor | None


class TextUnit(nn.Module):
    """Text-based global-local unit (TGLU): global with global, and the entity's global with the mention's tokens.

    The entity's tokens ask the mention's; the mean of what they hear, normalised, meets the entity's global feature.

    Args:
        width: Of the global features.
        local_width: Of the tokens.
        hidden: d, of queries, keys and values.
    """

    def __init__(self, width: int, local_width: int, hidden: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(local_width, hidden) for _ in range(3))
        self.target, self.norm = nn.Linear(width, hidden), nn.LayerNorm(hidden)

    def of_mentions(self, side: Side) -> MentionText:
        """Keys and values; values are zeros where there is no token."""
        values = self.value(side.local)
        if side.mask is not None:
            values = values * side.mask[:, :, None]
        return MentionText(side.whole, self.key(side.local), values, side.mask)

    def of_entities(self, side: Side) -> EntityText:
        """Queries."""
        return EntityText(side.whole, self.target(side.whole), self.query(side.local), side.mask)

    def forward(self, mention: MentionText, entity: EntityText) -> Tensor:
        """Scores [m, n]."""
        (n, t, d), (m, k, _) = entity.queries.shape, mention.keys.shape
        keys = mention.keys.flatten(0, 1) / math.sqrt(d)
        # The many tokens of the entities are neighbours in memory: that takes half as long as the few of a mention.
        logits = (keys @ entity.queries.flatten(0, 1).T).view(m, k, n * t)
        if mention.mask is not None:  # a finite number: of a mention without tokens nothing becomes NaN
            logits = logits.masked_fill(~mention.mask[:, :, None], torch.finfo(logits.dtype).min)
        heard = _mean(softmax(logits, dim=1).view(m, k, n, t), entity.mask)  # [m, k, n]
        context = self.norm(heard.transpose(1, 2) @ mention.values)  # [m, n, d]
        global_to_local = (context * entity.target).sum(-1)  # [m, n]
        global_to_global = mention.whole @ entity.whole.T
        scores: Tensor = (global_to_global + global_to_local) / 2
        return scores


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean [m, k, n] over the tokens of values [m, k, n, t]; zeros where there is none."""
    if mask is None:
        return values.sum(-1) / max(1, values.shape[-1])
    return (values * (mask / mask.sum(1, keepdim=True).clamp_min(1))).sum(-1)


class Seen(NamedTuple):
    """What the vision unit makes of n images: `query`, `key` and `pooled`, each [n, d]."""

    query: Tensor
    key: Tensor
    pooled: Tensor


class Dual(nn.Module):
    """One direction of the vision unit: one side's global feature, through the other side's image, meets that again.

    Args:
        width: Of global and local features.
        hidden: d.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.whole, self.local = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.mix, self.gate = nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
        self.norm_sum, self.norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)

    def forward(self, query: Tensor, key: Tensor, pooled: Tensor) -> Tensor:
        """Scores [a, b] of queries [a, d] with the other side's `key` and `pooled`, [b, d] each."""
        mixed = self.mix(self.norm_sum(query[:, None] + pooled))  # [a, b, d]
        gated = self.norm(torch.tanh(self.gate(mixed)) * mixed + key)
        scores: Tensor = (gated * self.norm(query)[:, None]).sum(-1)
        return scores


class VisionUnit(nn.Module):
    """Vision-based dual unit (VDLU): the mean of both directions.

    Args:
        width: Of global and local features.
        hidden: d.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.to_mention, self.to_entity = Dual(width, hidden), Dual(width, hidden)

    def of_mentions(self, side: Side) -> Seen:
        """What `to_mention` is asked about, and what asks `to_entity`."""
        return _seen(side, asks=self.to_entity, is_asked=self.to_mention)

    def of_entities(self, side: Side) -> Seen:
        """What `to_entity` is asked about, and what asks `to_mention`."""
        return _seen(side, asks=self.to_mention, is_asked=self.to_entity)

    def forward(self, mention: Seen, entity: Seen) -> Tensor:
        """Scores [m, n]."""
        to_mention = self.to_mention(entity.query, mention.key, mention.pooled)  # [n, m]
        to_entity = self.to_entity(mention.query, entity.key, entity.pooled)  # [m, n]
        scores: Tensor = (to_mention.T + to_entity) / 2
        return scores


def _seen(side: Side, asks: Dual, is_asked: Dual) -> Seen:
    # The mean comes first: it goes through a linear layer, and that of the KB's patches need not be kept.
    return Seen(asks.whole(side.whole), is_asked.whole(side.whole), is_asked.local(side.mean()))


class CrossUnit(nn.Module):
    """Cross-modal fusion unit (CMFU): a side's text looks at its image; both sides meet in a dot product.

    Args:
        text_width: Of the texts' global features.
        image_width: Of the patches.
        hidden: d.
    """

    def __init__(self, text_width: int, image_width: int, hidden: int) -> None:
        super().__init__()
        self.text, self.image = nn.Linear(text_width, hidden), nn.Linear(image_width, hidden)
        self.gate, self.norm = nn.Linear(hidden, 1), nn.LayerNorm(hidden)

    def fused(self, text: Tensor, image: Side) -> Tensor:
        """A vector [n, d] of each mention, or entity, by its text [n, D] and its patches."""
        said, patches = self.text(text), self.image(image.local)  # [n, d], [n, p, d]
        logits = (patches @ said[:, :, None])[:, :, 0]  # [n, p]
        if image.mask is not None:
            logits = logits.masked_fill(~image.mask, torch.finfo(logits.dtype).min)
            patches = patches * image.mask[:, :, None]
        looked_at = (softmax(logits, dim=-1)[:, None] @ patches)[:, 0]
        fused: Tensor = self.norm(torch.tanh(self.gate(said)) * said + looked_at)
        return fused

    def forward(self, mention: Tensor, entity: Tensor) -> Tensor:
        """Scores [m, n] of what `fused` gives of both sides."""
        return mention @ entity.T
