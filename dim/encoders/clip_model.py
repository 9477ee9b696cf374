"""What is read of a model of open_clip itself: its text tower, and how it has images resized."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import open_clip
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import text_global_pool
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import Compose


def resizing(config: Mapping[str, Any]) -> Callable[[Image.Image], Image.Image]:
    """Resizes and crops an image as the fields of open_clip's `PreprocessCfg` say."""
    steps = image_transform_v2(PreprocessCfg(**config), is_train=False).transforms
    resize: Callable[[Image.Image], Image.Image] = Compose(steps[:-2])  # less to-tensor and normalise
    return resize


def is_cut(model: nn.Module) -> bool:
    """Whether a model's texts may be cut as `cut` does."""
    return isinstance(model, open_clip.CLIP) and model.attn_mask is not None and model.text_pool_type == "argmax"


def cut(model: nn.Module, tokens: Tensor) -> Tensor:
    """The tokens [batch, 77] without the columns that no text of the batch reaches.

    A causal model never looks past the end-of-text token (the largest id), so what stands behind the longest text
    of the batch need not be computed: short names run ten times as fast, with the same values.
    """
    return tokens[:, : int(tokens.argmax(dim=-1).max()) + 1] if is_cut(model) else tokens


def encode_tokens(model: nn.Module, tokens: Tensor) -> Tensor:
    """Text features [batch, width] of tokens as `cut` leaves them."""
    if not is_cut(model):
        features: Tensor = model.encode_text(tokens)  # type: ignore[operator]
        return features
    assert isinstance(model, open_clip.CLIP)
    assert model.attn_mask is not None
    length = tokens.shape[1]
    dtype = model.transformer.get_cast_dtype()
    x: Tensor = model.token_embedding(tokens).to(dtype) + model.positional_embedding[:length].to(dtype)
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = text_global_pool(model.ln_final(x), tokens, "argmax")  # [batch, width of the transformer]
    projection: Any = model.text_projection
    if projection is not None:
        x = projection(x) if isinstance(projection, nn.Linear) else x @ projection  # [batch, width]
    return x
