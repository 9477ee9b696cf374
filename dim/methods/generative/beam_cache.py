"""What a language model remembers of prompts, shared out to beams and reordered with them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.cache_utils import DynamicLayer


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
        """Gives each beam what the beam `beam_idx` [rows] of the same prompt has written."""
        for room in self._all:
            written = room[:, :, self.start : self.length]
            written.copy_(written.index_select(0, beam_idx.to(room.device)))

    def take(self, rows: Tensor) -> None:
        """Keeps these rows, any number of them, of any prompts."""
        self._all = tuple(room.index_select(0, rows.to(room.device)) for room in self._all)
        self._show(self.length)

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

    def change(values: Tensor) -> Tensor:
        return values.repeat_interleave(num_beams, 0)

    def beams_of(layer: Any) -> Any:
        # sliding windows, states and other layers of their own kind are copied as they are
        return BeamLayer(layer, num_beams, room) if type(layer) is DynamicLayer else _changed(layer, change)

    return _with_layers(prompts, beams_of, change)


def repeated(cache: Any, count: int) -> Any:
    """A copy of a cache of b rows with each row `count` times, side by side."""
    return _changed(cache, lambda values: values.repeat_interleave(count, 0))


def reordered(cache: Any, rows: Tensor, is_within: bool) -> Any:
    """The cache with what some of its rows have; layers of beams are changed in place.

    Args:
        cache: Of n rows.
        rows: [any number] int64; row i becomes what row `rows[i]` was.
        is_within: Whether each row stays with its prompt.
    """

    def change(values: Tensor) -> Tensor:
        return values.index_select(0, rows.to(values.device))

    def reordered_layer(layer: Any) -> Any:
        if not isinstance(layer, BeamLayer):
            return _changed(layer, change)
        (layer.reorder_cache if is_within else layer.take)(rows)
        return layer

    return _with_layers(cache, reordered_layer, change)


def has_states(cache: Any) -> bool:
    """Whether anything is kept beside, or in the place of, each token's keys and values."""
    layers = getattr(cache, "layers", None)
    if not layers or any(not isinstance(layer, DynamicLayer) or hasattr(layer, "conv_states") for layer in layers):
        return True
    others = [value for name, value in vars(cache).items() if name != "layers"]
    return any(isinstance(value, Tensor | list | dict) and len(value) for value in others)


def has_keys(cache: Any) -> bool:
    """Whether a layer keeps each token's keys: one that keeps states alone reads no mask of what stands before."""
    layers = getattr(cache, "layers", None)
    return not layers or any(getattr(layer, "keys", None) is not None for layer in layers)


def _with_layers(cache: Any, change_layer: Callable[[Any], Any], change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of a cache with its layers changed by one function, and all other tensors of it by another."""
    layers = getattr(cache, "layers", None)
    if not layers:
        return _changed(cache, change)
    found = copy.copy(cache)
    found.layers = []
    found = _changed(found, change)
    found.layers = [change_layer(layer) for layer in layers]
    return found


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of whatever holds tensors, each of them changed.

    Transformers' own methods leave out states: `batch_repeat_interleave` raises for some layers, and copies the keys
    of others alone. What of a model this does not reach, the self-check finds (`dim.methods.generative.self_check`).
    """
    if isinstance(value, Tensor):
        return change(value) if value.dim() else value
    if isinstance(value, dict):
        return {key: _changed(each, change) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_changed(each, change) for each in value])
    is_holder = type(value).__module__.startswith("transformers.") and hasattr(value, "__dict__")
    if not is_holder or isinstance(value, nn.Module | PretrainedConfig):
        return value
    copied = copy.copy(value)
    copied.__dict__ |= {name: _changed(each, change) for name, each in vars(value).items()}
    return copied


def _widened(values: Tensor, num_beams: int, room: int) -> Tensor:
    size, heads, length, width = values.shape
    wide = values.new_zeros(size, num_beams, heads, length + room, width)
    wide[:, :, :, :length] = values[:, None]
    return wide.flatten(0, 1)
