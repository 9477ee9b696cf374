"""Keys and values of prompts, shared out to beams without copying them again at every step."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


class BeamLayer(DynamicLayer):  # type: ignore[misc]  # the library is untyped
    """One layer's keys and values of beams.

    Room for all tokens is made once, and a reordering moves the new tokens alone: the beams of a prompt share it, and
    never change places with those of another one. Transformers' own layer copies everything at every step, which on a
    CPU takes longer than the model.

    Args:
        layer: Of the prompts, [b, heads, length, width].
        num_beams: Beams a prompt.
        room: Tokens that will be written at most.
    """

    def __init__(self, layer: DynamicLayer, num_beams: int, room: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.keys.dtype, layer.keys.device, True
        self.start: int = layer.keys.shape[2]
        self._all = tuple(_widened(values, num_beams, room) for values in (layer.keys, layer.values))
        self._show(self.start)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Keys and values [b · beams, heads, length, width] with the new ones behind the others."""
        end = self.length + key_states.shape[2]
        for room, states in zip(self._all, (key_states, value_states), strict=True):
            room[:, :, self.length : end] = states
        self._show(end)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Gives each beam what the beam `beam_idx` [b · beams] of the same prompt has written."""
        for room in self._all:
            written = room[:, :, self.start : self.length]
            written.copy_(written.index_select(0, beam_idx.to(room.device)))

    def _show(self, length: int) -> None:
        self.length = length
        self.keys, self.values = (room[:, :, :length] for room in self._all)


def for_beams(prompts: Any, num_beams: int, room: int) -> Any:
    """The cache of prompts as that of their beams, for one beam search.

    Args:
        prompts: Transformers' cache of b prompts; it is used up.
        num_beams: Beams a prompt.
        room: Tokens that will be written at most.
    """
    if type(prompts) is DynamicCache and all(type(layer) is DynamicLayer for layer in prompts.layers):
        prompts.layers = [BeamLayer(layer, num_beams, room) for layer in prompts.layers]
    elif num_beams > 1:  # sliding windows and other layers of their own kind
        prompts.batch_repeat_interleave(num_beams)
    return prompts


def _widened(values: Tensor, num_beams: int, room: int) -> Tensor:
    size, heads, length, width = values.shape
    wide = values.new_zeros(size, num_beams, heads, length + room, width)
    wide[:, :, :, :length] = values[:, None]
    return wide.flatten(0, 1)
