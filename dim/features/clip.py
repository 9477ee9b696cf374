"""Any model of open_clip, frozen: texts and images into one space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import text_global_pool
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import Compose

from dim.features.base import Features, ImageEncoder, TextEncoder
from dim.features.clip_source import ClipSource
from dim.features.device import DTYPES, Precision, resolve_device

_loaded: WeakValueDictionary[tuple[str, str], nn.Module] = WeakValueDictionary()


class OpenClipEncoder(TextEncoder, ImageEncoder):
    """Raw (not normalised) CLIP features, as the DIM release takes them; texts are cut at the model's 77 tokens.

    Two encoders of the same model, weights and precision share one copy in memory.

    Args:
        model: A model name of open_clip, such as `ViT-B-32-quickgelu`.
        pretrained: Its weights: a tag such as `openai` (downloaded at first use), a file, or a folder as downloaded
            from a hub (`open_clip_config.json` and weights). A folder brings its own architecture, so that `model`
            is not looked at.
        precision: Of weights and arithmetic; the features are float32 always.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        random_seed: Draw the weights at random instead (`pretrained` is null then), for benchmarks and tests.

    Raises:
        ConfigError: The model or the weights do not exist, or do not fit each other. Raised at first use.
    """

    def __init__(
        self,
        model: str = "ViT-B-32-quickgelu",
        pretrained: str | None = "openai",
        precision: Precision = "fp32",
        device: str = "auto",
        random_seed: int | None = None,
    ) -> None:
        self.source = ClipSource(model.replace("/", "-"), pretrained, random_seed)
        self.precision, self.device = precision, device

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process loads the weights itself, if it needs them.
        source = self.source
        return type(self), (source.model_name, source.pretrained, self.precision, self.device, source.random_seed)

    @property
    def width(self) -> int:
        """Columns of the shared space; known without loading weights."""
        return int(self.source.config["embed_dim"])

    @cached_property
    def fingerprint(self) -> str:
        """Names architecture, preprocessing, precision, and the content of the weights."""
        return f"OpenClipEncoder({self.source.fingerprint}, precision={self.precision})"

    @cached_property
    def model(self) -> nn.Module:
        """The open_clip model, loaded at first use."""
        key = (self.fingerprint, str(self._torch_device))
        model = _loaded.get(key)
        if model is None:
            model = _loaded[key] = self.source.load(self.precision, self._torch_device)
        return model

    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width] of one batch."""
        model = self.model
        with torch.inference_mode():
            return _to_numpy(_encode_tokens(model, self.source.tokenize(texts).to(self._torch_device)))

    def preprocess(self, image: Image.Image) -> NDArray[np.uint8]:
        """The image resized and cropped, [height, width, 3]; as bytes, which cost a quarter of floats to hand over."""
        return np.asarray(self._resize(image))

    def encode_image(self, pixels: NDArray[np.uint8]) -> Features:
        """Features [batch, width] of a stack [batch, height, width, 3]."""
        with torch.inference_mode():
            return _to_numpy(self.model.encode_image(self.normalize_pixels(pixels)))  # type: ignore[operator]

    def normalize_pixels(self, pixels: NDArray[np.uint8]) -> Tensor:
        """The model's input [batch, 3, height, width] on its device, by open_clip's arithmetic."""
        batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._torch_device)
        values = batch.permute(0, 3, 1, 2).contiguous().float().div_(255)
        mean, std = (
            torch.tensor(self.source.preprocess_config[name], device=values.device)[:, None, None]
            for name in ("mean", "std")
        )
        return values.sub_(mean).div_(std).to(DTYPES[self.precision])

    @cached_property
    def _torch_device(self) -> torch.device:
        return resolve_device(self.device)

    @cached_property
    def _resize(self) -> Callable[[Image.Image], Image.Image]:
        steps = image_transform_v2(PreprocessCfg(**self.source.preprocess_config), is_train=False).transforms
        resize: Callable[[Image.Image], Image.Image] = Compose(steps[:-2])  # less to-tensor and normalise
        return resize


def _encode_tokens(model: nn.Module, tokens: Tensor) -> Tensor:
    """Text features [batch, width] of padded tokens [batch, 77].

    A causal model never looks past the end-of-text token (the largest id), so what stands behind the longest text
    of the batch need not be computed: short names run ten times as fast, with the same values.
    """
    if not isinstance(model, open_clip.CLIP) or model.attn_mask is None or model.text_pool_type != "argmax":
        features: Tensor = model.encode_text(tokens)  # type: ignore[operator]
        return features
    length = int(tokens.argmax(dim=-1).max()) + 1
    tokens = tokens[:, :length]  # [batch, length]
    dtype = model.transformer.get_cast_dtype()
    x: Tensor = model.token_embedding(tokens).to(dtype) + model.positional_embedding[:length].to(dtype)
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = text_global_pool(model.ln_final(x), tokens, "argmax")  # [batch, width of the transformer]
    projection: Any = model.text_projection
    if projection is not None:
        x = projection(x) if isinstance(projection, nn.Linear) else x @ projection  # [batch, width]
    return x


def _to_numpy(features: Tensor) -> Features:
    array: Features = features.float().cpu().numpy()
    return array
