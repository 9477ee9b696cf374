"""From the vectors of a text's tokens to one of the text, by the rules of sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

Rule = Callable[[Tensor, Tensor], Tensor]


def _cls(hidden: Tensor, mask: Tensor) -> Tensor:
    return _at(hidden, mask.int().argmax(dim=1))


def _last(hidden: Tensor, mask: Tensor) -> Tensor:
    return _at(hidden, mask.shape[1] - 1 - mask.int().flip(1).argmax(dim=1))


def _max(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden.masked_fill(mask[:, :, None] == 0, -torch.inf).amax(dim=1)


def _mean(hidden: Tensor, mask: Tensor, power: float = 1.0) -> Tensor:
    weights = mask[:, :, None].float()
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1) ** power


def _weighted_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = mask.float() * torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (hidden * weights[:, :, None]).sum(dim=1) / weights.sum(dim=1, keepdim=True).clamp(min=1)


def _at(hidden: Tensor, places: Tensor) -> Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), places]


#: In the order in which sentence-transformers lays several of them end to end.
RULES: dict[str, Rule] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": lambda hidden, mask: _mean(hidden, mask, 0.5),
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}


def pool(hidden: Tensor, mask: Tensor, kinds: Sequence[str]) -> Tensor:
    """The vectors [batch, len(kinds) · width], float32, of texts padded on the right.

    Args:
        hidden: [batch, length, width].
        mask: [batch, length], 1 where a token counts; the weights of `weightedmean` count from the first column.
        kinds: Keys of `RULES`, laid end to end.

    Example:
        >>> hidden, mask = torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[1, 1, 0]])
        >>> pool(hidden, mask, ["mean", "lasttoken"]).tolist()
        [[2.0, 3.0]]
    """
    return torch.cat([RULES[kind](hidden.float(), mask) for kind in kinds], dim=-1)


class Normalize(nn.Module):
    """Scales each row to length 1."""

    def forward(self, features: Tensor) -> Tensor:
        """Features [batch, width]."""
        return normalize(features, dim=-1)


class LayerNorm(nn.Module):
    """Layer normalisation, its weights named as sentence-transformers names them.

    Args:
        dimension: Columns.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dimension)

    def forward(self, features: Tensor) -> Tensor:
        """Features [batch, dimension]."""
        normed: Tensor = self.norm(features)
        return normed


class Dense(nn.Module):
    """A linear layer, its activation, and the input beside it where the folder says so.

    Args:
        in_features: Columns of the input.
        out_features: Columns of the output.
        bias: Whether there is a bias.
        activation: What follows the linear layer.
        residual: Add the input, projected where the widths differ.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool, activation: nn.Module, residual: bool) -> None:
        super().__init__()
        self.linear, self.activation = nn.Linear(in_features, out_features, bias=bias), activation
        self.is_residual = residual
        if residual and in_features != out_features:
            self.residual = nn.Linear(in_features, out_features, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features [batch, out_features] of features [batch, in_features]."""
        given: Tensor = self.activation(self.linear(features))
        if not self.is_residual:
            return given
        return given + (self.residual(features) if hasattr(self, "residual") else features)
