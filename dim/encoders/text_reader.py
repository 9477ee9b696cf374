"""Which part of a Transformers model reads texts, and what it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import transformers
from torch import Tensor, nn
from transformers.models.auto import modeling_auto

from dim.errors import ConfigError


def has_shared_space(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a model with a tower for texts and one for images, such as CLIP."""
    if "text_config" not in config:
        return False
    name = modeling_auto.MODEL_MAPPING_NAMES.get(str(config.get("model_type")))
    return isinstance(name, str) and hasattr(getattr(transformers, name, None), "get_text_features")


def is_halved(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a model that reads and writes whose encoder is no model of its own (BART)."""
    if not config.get("is_encoder_decoder"):
        return False
    # The Transformers beside salesforce-lavis has no such names yet.
    return config.get("model_type") not in getattr(modeling_auto, "MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES", {})


def width_of(config: Any, is_projected: bool) -> int | None:
    """Columns of a token's vector, or of the shared space; None where the config does not say."""
    if is_projected:
        text = getattr(config, "text_config", config)
        sizes = [getattr(config, "projection_dim", None), getattr(text, "projection_size", None)]
        return next((size for size in sizes if isinstance(size, int)), getattr(text, "hidden_size", None))
    for each in (config, config.get_text_config() if hasattr(config, "get_text_config") else config):
        size = getattr(each, "embedding_dim", None) or getattr(each, "hidden_size", None)
        if isinstance(size, int):
            return size
    return None


def text_part(model: nn.Module) -> nn.Module:
    """The part of a model that texts go through: the encoder of one that writes, too, the text tower of two."""
    whole = _unwrapped(model)
    if getattr(whole.config, "is_encoder_decoder", False) and hasattr(whole, "decoder"):
        encoder: nn.Module = whole.get_encoder()
        return encoder
    if hasattr(whole, "get_text_features"):
        tower: nn.Module = whole.text_model
        return tower
    return model


def reader_of(model: nn.Module) -> Callable[..., Any]:
    """What is called with tokens."""
    whole = _unwrapped(model)
    if hasattr(whole, "get_text_features"):
        features: Callable[..., Any] = whole.get_text_features
        return features
    return text_part(model)


def read_of(output: Any, pooling: str, path: str) -> Tensor:
    """What is pooled of a reader's output: the vectors of tokens [batch, length, width], or what it pooled itself.

    Raises:
        ConfigError: The pooling is `pooler`, and the model has no such layer.
    """
    if pooling == "projected":
        projected: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return projected
    if pooling != "pooler":
        hidden: Tensor = output.last_hidden_state
        return hidden
    pooled: Tensor | None = getattr(output, "pooler_output", None)
    if pooled is None:
        raise ConfigError(f"a pooling layer in the model at {path}", "none", "Set pooling to mean or cls.")
    return pooled


class Reading(nn.Module):
    """A model with what is pooled of its output as its output: what is exported to other runtimes."""

    def __init__(self, model: nn.Module, pooling: str, path: str) -> None:
        super().__init__()
        self.model, self.pooling, self.path = model, pooling, path

    def forward(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Of tokens [batch, length] by name."""
        return read_of(reader_of(self.model)(**tokens), self.pooling, self.path)


def accepted(reader: Callable[..., Any]) -> frozenset[str]:
    """The names of what a reader has parameters for."""
    whole = _unwrapped(reader)
    return frozenset(inspect.signature(getattr(whole, "forward", whole)).parameters)


def _unwrapped(model: Any) -> Any:
    """The model inside of LoRA's wrapper, if it is in one."""
    return getattr(model, "get_base_model", lambda: model)()
