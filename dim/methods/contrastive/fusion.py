"""The parts of DIM (arXiv 2407.12019, figure 2; release season1blue/DIM at 8c116a1, `nel_model/nel.py`).

Shapes: B mentions or entities, D the model's width, T tokens. A field is `FieldVectors`, [B, t, width] with its mask;
where nothing else is said, t is 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention

from dim.errors import ConfigError
from dim.features.batch import FieldVectors

Fields = Mapping[str, FieldVectors]


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
        if "caption" in widths:
            self.caption = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width), nn.Dropout(dropout))
        self.out = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, fields: Fields) -> Tensor:
        """Query vectors [B, D]."""
        parts = []
        for name, (vectors, mask) in fields.items():
            part = self.align[name](vectors[:, 0])  # [B, D]
            if name == "caption":
                part = self.caption(part)
            parts.append(part * mask)
        query: Tensor = self.out(torch.stack(parts).sum(0))
        return query


class AttentionFusion(nn.Module):
    """The paper's query: the mention, plus attention over its context, plus attention over caption and image.

    Each field is scaled to unit length and projected to D. The mention attends to the context, and to the tokens
    caption and image, so that it weighs what was said of the picture against the picture. Missing tokens are masked;
    where all are missing the attention contributes nothing. Fields but the mention may have several vectors, each a
    token.

    Args:
        widths: Field name → width.
        width: D.
        num_heads: Heads of either attention.
        dropout: Of the fields.
        several: Whether fields may have several vectors.
    """

    def __init__(
        self, widths: Mapping[str, int], width: int, num_heads: int, dropout: float, several: bool = False
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        # The context repeats the mention: half of it is enough at the start.
        gains = {"mention": 0.5}
        self.project = nn.ModuleDict(
            {name: AlignedLinear(size, width, gains.get(name, 1.0)) for name, size in widths.items()}
        )
        self.over_context = TokenAttention(width, num_heads)
        self.over_image = TokenAttention(width, num_heads)
        for attention, names in self._attended():
            if sum(name in widths for name in names) < (1 if several else 2):
                # One token has all the weight: nothing to train, and several processes would wait for a gradient.
                attention.requires_grad_(False)

    def forward(self, fields: Fields) -> Tensor:
        """Query vectors [B, D]."""
        tokens = {  # [B, t, D]
            name: self.project[name](self.dropout(normalize(vectors, dim=2))) for name, (vectors, _) in fields.items()
        }
        mention: Tensor = tokens["mention"][:, 0]  # [B, D]
        query = mention
        for attention, names in self._attended():
            present = [name for name in names if name in tokens]
            if present:
                keys = torch.cat([tokens[name] for name in present], dim=1)  # [B, T, D]
                mask = torch.cat([fields[name].mask for name in present], dim=1)  # [B, T]
                query = query + attention(mention, keys, mask)
        return query

    def _attended(self) -> tuple[tuple[TokenAttention, tuple[str, ...]], ...]:
        return (self.over_context, ("context",)), (self.over_image, ("caption", "image"))


def check_heads(width: int, num_heads: int) -> None:
    """Raises ConfigError where heads cannot share a width."""
    if num_heads < 1 or width % num_heads:
        found = f"{num_heads} heads of a width of {width:,}"
        raise ConfigError("heads that share the width evenly", found, "Change --model.num_heads or --model.width.")


class TokenAttention(nn.Module):
    """Multi-head attention that passes its tokens on as they are.

    The tokens were projected field by field, so the usual projections of values and output would only multiply three
    matrices in a row; on WikiMEL's dev they cost accuracy.

    Args:
        width: D.
        num_heads: Parts of D that are attended to on their own.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        check_heads(width, num_heads)
        self.num_heads = num_heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, query: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Attention [B, D] of query [B, D] over tokens [B, T, D] where mask [B, T] is True; zeros where none is."""
        if tokens.shape[1] == 1 and not self.key.weight.requires_grad:  # one token has all the weight
            return tokens[:, 0] * mask
        some = mask.any(1)
        # A row without a token would be a softmax over nothing (NaN): let it attend, then drop the result.
        allowed = (mask | ~some[:, None])[:, None, None, :]  # [B, 1, 1, T]
        queries, keys, values = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # [B, H, 1 or T, D / H]
            for part in (self.query(query[:, None]), self.key(tokens), tokens)
        )
        attended = scaled_dot_product_attention(queries, keys, values, attn_mask=allowed)  # [B, H, 1, D / H]
        return attended.transpose(1, 2).flatten(2)[:, 0] * some[:, None]


class LinearFusion(nn.Module):
    """A sum of projected fields: the entity tower (name, text, image), and for queries the baseline to beat.

    Args:
        widths: Field name → width.
        width: D.
        dropout: Of the fields.
    """

    def __init__(self, widths: Mapping[str, int], width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.project = nn.ModuleDict({name: AlignedLinear(size, width) for name, size in widths.items()})

    def forward(self, fields: Fields) -> Tensor:
        """Vectors [B, D]."""
        parts = [
            self.project[name](self.dropout(normalize(vectors[:, 0]))) * mask
            for name, (vectors, mask) in fields.items()
        ]
        return torch.stack(parts).sum(0)  # [B, D]


class IdentityTower(nn.Module):
    """Entity vectors as released: the features of the text, without the name, as they are."""

    def forward(self, fields: Fields) -> Tensor:
        """Entity vectors [B, width of the text]."""
        return fields["text"].vectors[:, 0]


class SpellingPart(nn.Module):
    """The evidence of the names' spelling, as further columns of query and entity vectors.

    Each n-gram counts by its inverse document frequency among the KB's names; one learned weight says how much the
    spelling counts. A cosine of [weight · spelling, fused] is a weighted sum of both cosines, so either tower still
    gives one vector.

    Args:
        num_ngrams: Columns of the spelling.
    """

    rarity: Tensor

    def __init__(self, num_ngrams: int) -> None:
        super().__init__()
        self.register_buffer("rarity", torch.ones(num_ngrams))
        self.log_weight = nn.Parameter(torch.zeros(()))

    def weigh(self, frequency: Tensor) -> None:
        """Weighs the n-grams by the share [num_ngrams] of the names that have each."""
        self.rarity = -torch.log(frequency.clamp_min(1e-6))

    def mention(self, spelling: Tensor, fused: Tensor) -> Tensor:
        """Query vectors [B, num_ngrams + D] of n-grams [B, num_ngrams] and fused queries [B, D]."""
        return torch.cat([self.log_weight.exp() * normalize(spelling * self.rarity), normalize(fused)], dim=1)

    def entity(self, spelling: Tensor, fused: Tensor) -> Tensor:
        """Entity vectors [B, num_ngrams + D] of n-grams [B, num_ngrams] and fused vectors [B, D]."""
        return torch.cat([normalize(spelling * self.rarity), normalize(fused)], dim=1)


class AlignedLinear(nn.Linear):
    """A projection that starts the same for every field of one width: an identity, or a fixed semi-orthogonal map.

    Fields of one encoder then start in one space on both sides, and an untrained model compares as the frozen
    vectors do. A random start would have to learn that a name is similar to itself.

    Args:
        size: Width of the field.
        width: D.
        gain: What the map is multiplied by at the start.
    """

    def __init__(self, size: int, width: int, gain: float = 1.0) -> None:
        super().__init__(size, width, bias=False)
        if self.weight.is_meta:  # its weights come from a file; to begin there has torch import its compiler, a second
            return
        with torch.no_grad():
            if size == width:
                nn.init.eye_(self.weight)
            else:
                nn.init.orthogonal_(self.weight, generator=torch.Generator().manual_seed(size))
            self.weight.mul_(gain)
