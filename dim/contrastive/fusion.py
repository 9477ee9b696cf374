"""The two towers of DIM (arXiv 2407.12019, figure 2; release season1blue/DIM at 8c116a1, `nel_model/nel.py`).

Shapes: B mentions or entities, D the model's width, T tokens. A field is a pair (values [B, width], mask [B]).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Fields = Mapping[str, tuple[Tensor, Tensor]]


class SumFusion(nn.Module):
    """The release's query: Linear(Dropout(mention + context + image + T(caption))).

    T = Linear → ReLU → LayerNorm → Dropout. The released code also computes attention over the context and the
    caption, and discards it. A field of another width than the entity's is projected first.

    Args:
        widths: Field name → width, of `mention`, `context`, `image`, `caption`, as many as there are.
        width: D, the width of the entity vectors.
        dropout: Of the sum, and of T.
    """

    def __init__(self, widths: Mapping[str, int], width: int, dropout: float) -> None:
        super().__init__()
        self.align = nn.ModuleDict(
            {name: nn.Identity() if size == width else nn.Linear(size, width) for name, size in widths.items()}
        )
        self.caption = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width), nn.Dropout(dropout))
        self.out = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, fields: Fields) -> Tensor:
        """Query vectors [B, D]."""
        parts = []
        for name, (values, mask) in fields.items():
            part = self.align[name](values)  # [B, D]
            if name == "caption":
                part = self.caption(part)
            parts.append(part * mask[:, None])
        query: Tensor = self.out(torch.stack(parts).sum(0))
        return query


class AttentionFusion(nn.Module):
    """The paper's query: the mention, plus attention over its context, plus attention over caption and image.

    Each field is projected to D. The mention attends to the context, and to the tokens caption and image, so that
    it weighs what was said of the picture against the picture. Missing tokens are masked; where all are missing
    the attention contributes nothing.

    Args:
        widths: Field name → width.
        width: D.
        num_heads: Heads of either attention.
        dropout: Of the fields and of the attention weights.
    """

    def __init__(self, widths: Mapping[str, int], width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.ModuleDict(
            {name: nn.Sequential(nn.Dropout(dropout), nn.Linear(size, width)) for name, size in widths.items()}
        )
        self.over_context = nn.MultiheadAttention(width, num_heads, dropout, batch_first=True)
        self.over_image = nn.MultiheadAttention(width, num_heads, dropout, batch_first=True)

    def forward(self, fields: Fields) -> Tensor:
        """Query vectors [B, D]."""
        tokens = {name: self.project[name](values) for name, (values, _) in fields.items()}  # [B, D] each
        masks = {name: mask for name, (_, mask) in fields.items()}
        query: Tensor = tokens["mention"]  # [B, D]
        for attention, names in ((self.over_context, ("context",)), (self.over_image, ("caption", "image"))):
            present = [name for name in names if name in tokens]
            if present:
                keys = torch.stack([tokens[name] for name in present], dim=1)  # [B, T, D]
                query = query + attend(attention, tokens["mention"], keys, torch.stack([masks[n] for n in present], 1))
        return query


def attend(attention: nn.MultiheadAttention, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """Attention of query [B, D] over keys [B, T, D] where mask [B, T] is True; zeros where it is all False."""
    some = mask.any(1)
    # A row without a token would be a softmax over nothing (NaN): let it attend, then drop the result.
    ignore = ~(mask | ~some[:, None])
    attended, _ = attention(query[:, None], keys, keys, key_padding_mask=ignore, need_weights=False)  # [B, 1, D]
    result: Tensor = attended[:, 0] * some[:, None]
    return result


class EntityTower(nn.Module):
    """Entity vectors as a sum of projected fields: name, text, and image where there is one.

    Args:
        widths: Field name → width.
        width: D.
        dropout: Of the fields.
    """

    def __init__(self, widths: Mapping[str, int], width: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.ModuleDict(
            {name: nn.Sequential(nn.Dropout(dropout), nn.Linear(size, width)) for name, size in widths.items()}
        )

    def forward(self, fields: Fields) -> Tensor:
        """Entity vectors [B, D]."""
        parts = [self.project[name](values) * mask[:, None] for name, (values, mask) in fields.items()]
        return torch.stack(parts).sum(0)  # [B, D]


class IdentityTower(nn.Module):
    """Entity vectors as released: the features of the text, without the name, as they are."""

    def forward(self, fields: Fields) -> Tensor:
        """Entity vectors [B, width of the text]."""
        values, _ = fields["text"]
        return values
