"""How many tokens a model has positions for: seen from what it looks up, not from what its config says.

A table of 514 positions whose first two are never used (RoBERTa and its kin start behind the padding token's) takes 512
tokens, and a config does not say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_NUM_TOKENS = 4  #: Of the text that is read to see which positions it gets.


def usable_positions(model: nn.Module) -> int | None:
    """The most tokens of a text that the model has positions for; None where it looks none up (relative, rotary …).

    It reads one token four times and watches which rows of which table it asks for: a table of positions is asked for
    rows that follow each other.

    Args:
        model: A text encoder of Transformers with its weights, in evaluation mode.
    """
    device = next(model.parameters()).device
    special = {getattr(model.config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "cls", "sep")}
    word = next(token for token in range(len(special) + 1) if token not in special)
    tokens = torch.full((1, _NUM_TOKENS), word, device=device)
    with torch.inference_mode(), _Lookups() as lookups:
        model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    found = [size - first for size, first in lookups.positions]
    return min(found) if found else None


class _Lookups(TorchFunctionMode):
    """Keeps, of each table that was asked for rows that follow each other, its size and the first of them."""

    def __init__(self) -> None:
        self.positions: list[tuple[int, int]] = []
        super().__init__()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is nn.functional.embedding:
            rows, table = [*args, *(given[name] for name in ("input", "weight") if name in given)][:2]
            self._look(rows, table)
        return func(*args, **given)

    def _look(self, rows: Tensor, table: Tensor) -> None:
        asked = rows.reshape(-1)[:_NUM_TOKENS].tolist()
        is_text = rows.numel() == rows.shape[-1] >= _NUM_TOKENS
        if is_text and asked == list(range(asked[0], asked[0] + _NUM_TOKENS)):
            self.positions.append((table.shape[0], asked[0]))
