"""Any image encoder of Transformers (DINOv2, DINOv3, SigLIP, ViT, CLIP, ConvNeXt …), frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from dim.encoders.backends import check_backend
from dim.encoders.base import Features, ImageEncoder, LoadedAnew
from dim.encoders.chosen_backend import ByBackend, ChosenBackend
from dim.encoders.device import DTYPES, Backend, EncoderPrecision, Precision, deferred, to_device
from dim.encoders.encoder_check import check_inputs, pictures, remedy_for
from dim.encoders.exported import PIXELS, ToExport, of_pixels
from dim.encoders.pretrained import KnownByItsFiles, check_whole
from dim.errors import ConfigError


class TransformersImageEncoder(KnownByItsFiles, ByBackend, LoadedAnew, ImageEncoder):
    """Image features of a Transformers model, each image prepared by the folder's own processor.

    At first use two pictures are encoded: an encoder that fails, gives NaN, or whose processor gives arrays of several
    shapes, is refused.

    Args:
        path: A folder with the model, or its id on the Hugging Face hub (downloaded at first use).
        pooling: `projected` into the space that it shares with texts (CLIP, SigLIP), `pooler` (the model's own pooled
            vector), `cls` (the first token) or `mean` of all tokens. None: `projected` where there is such a space,
            else `pooler` where the model has one with weights, else `cls`.
        normalize: Scale each vector to length 1.
        precision: Of weights and arithmetic, `int8` by `onnx` and `openvino` alone; the features are float32 always.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        revision: A branch, tag or commit on the hub; has no meaning for a folder. A run records the commit.
        backend: What computes the network, as of `TransformersTextEncoder`.

    Raises:
        ConfigError: The model does not exist, cannot be reached, or does not fit the options. Raised at first use.
    """

    WHAT = "a Transformers image encoder"
    backend_as = "image_encoder"

    def __init__(
        self,
        path: str,
        pooling: Literal["projected", "pooler", "cls", "mean"] | None = None,
        normalize: bool = False,
        precision: EncoderPrecision = "fp32",
        device: str = "auto",
        revision: str | None = None,
        backend: Backend = "torch",
    ) -> None:
        check_backend(backend, precision, device, {})
        self.backend = backend
        self.path, self.pooling, self.normalize = path, pooling, normalize
        self.precision, self.device, self.revision = precision, device, revision

    @property
    def known_options(self) -> Mapping[str, Any]:
        """The commit and the backend, as far as they are known."""
        return {**super().known_options, "backend": self._computing.known_name}

    def _named(self, content: str) -> str:
        return (
            f"TransformersImageEncoder({content}, pooling={self.pooling}, normalize={self.normalize}, "
            f"precision={self.precision}{self._computing.described})"
        )

    @property
    def pinned_options(self) -> Mapping[str, str]:
        """The commit on the hub, and the backend that `auto` chose."""
        return {**super().pinned_options, **self._computing.pinned_options}

    def copy_model(self, source: Path, target: Path) -> bool:
        """Copies what Transformers reads of a folder, pickled weights as safetensors, and the backend's export."""
        is_converted = super().copy_model(source, target)
        self.write_export(target)
        return is_converted

    @cached_property
    def width(self) -> int:
        """Columns of a feature row; known without loading weights."""
        config: Any = self._config
        vision = getattr(config, "vision_config", config)
        if self._is_projected and isinstance(getattr(config, "projection_dim", None), int):
            return int(config.projection_dim)
        sizes = getattr(vision, "hidden_size", None) or (getattr(vision, "hidden_sizes", None) or [None])[-1]
        if not isinstance(sizes, int):
            found = f"a model of type '{config.model_type}', which has no hidden size of its own"
            raise ConfigError(f"an image encoder at {self.path}", found, "Name another model.")
        return sizes

    @cached_property
    def _is_projected(self) -> bool:
        kind = AutoModel._model_mapping.get(type(self._config), None)
        has_space = hasattr(kind, "get_image_features")
        if self.pooling == "projected" and not has_space:
            found = f"a model of type '{self._config.model_type}'"
            raise ConfigError(f"a space that images share with texts at {self.path}", found, "Leave pooling out.")
        return has_space and self.pooling in (None, "projected")

    def preprocess(self, image: Image.Image) -> NDArray[np.float32]:
        """The image as the folder's processor gives it, [3, height, width]."""
        given = self._processor(images=image.convert("RGB"), return_tensors="np")
        if further := set(given) - {"pixel_values", "pixel_mask"}:
            raise ConfigError(
                f"a processor at {self.path} that gives pixel_values alone",
                f"one that gives {', '.join(sorted(further))}, too",
                "Name a model of one fixed image size.",
            )
        pixels: NDArray[np.float32] = np.asarray(given["pixel_values"][0], np.float32)
        return pixels

    def to_device(self, pixels: NDArray[np.float32]) -> Tensor:
        """The stack on the model's device."""
        return to_device(pixels, self._torch_device)

    def encode_image(self, pixels: NDArray[np.float32] | Tensor) -> Features:
        """Features [batch, width] of a stack [batch, 3, height, width]."""
        return self.submit_image(pixels)()

    def submit_image(self, pixels: NDArray[np.float32] | Tensor) -> Callable[[], Features]:
        """What gives the features of `encode_image` when called."""
        _ = self._is_checked
        with torch.inference_mode():
            return deferred(self._forward(pixels if isinstance(pixels, Tensor) else self.to_device(pixels)))

    @cached_property
    def _is_checked(self) -> bool:
        def encode(images: Sequence[Image.Image]) -> Tensor:
            arrays = [self.preprocess(image) for image in images]
            if len({array.shape for array in arrays}) > 1:
                shapes = " and ".join(str(array.shape) for array in arrays)
                what = f"a processor at {self.path} that gives arrays of one shape"
                raise ConfigError(what, shapes, remedy_for(self.precision))
            return self._forward(self.to_device(self.stack(arrays)))

        check_inputs(encode, pictures(), "image", self.width, self.precision, self.path)
        return True

    def _forward(self, pixels: Tensor) -> Tensor:
        export = self._computing.exported
        if export is None:
            read = self._read(self._has_pooler, self.network, pixels.to(DTYPES[self._computing.torch_precision]))
        else:
            read = export({PIXELS: pixels})
        features = read.float().flatten(1)
        return nn.functional.normalize(features, dim=-1) if self.normalize else features

    def _read(self, has_pooler: bool, network: Any, pixels: Tensor) -> Tensor:
        """What is read of a network's output; whether it has a pooling layer with weights was seen as it was loaded."""
        if not self._is_projected:
            return self._pooled(getattr(network, "vision_model", network)(pixel_values=pixels), has_pooler)
        output = network.get_image_features(pixel_values=pixels)
        return output if isinstance(output, Tensor) else output.pooler_output

    def _pooled(self, output: Any, has_pooler: bool) -> Tensor:
        hidden: Tensor = output.last_hidden_state
        tokens = hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden  # of networks without tokens
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if self.pooling == "pooler" or (self.pooling is None and pooled is not None and has_pooler):
            if pooled is None or not has_pooler:
                found = "none" if pooled is None else "one without weights"
                raise ConfigError(f"a pooling layer in the model at {self.path}", found, "Set pooling to cls or mean.")
            return pooled
        return tokens.mean(dim=1) if self.pooling == "mean" or hidden.ndim == 4 else tokens[:, 0]

    @cached_property
    def _loaded(self) -> tuple[nn.Module, bool]:
        return self._load(self._computing.torch_precision, self._torch_device)

    def _load(self, precision: Precision, device: torch.device) -> tuple[nn.Module, bool]:
        """The model, and whether its pooling layer, if it has one, has weights."""
        model, report = self.source.load(AutoModel, dtype=DTYPES[precision], output_loading_info=True)
        missing = report["missing_keys"]
        others = [key for key in missing if "pooler" not in key]
        check_whole(others, f"the model at {self.path}", "Name another checkpoint.")
        return model.eval().requires_grad_(False).to(device), not missing

    @property
    def network(self) -> nn.Module:
        """The Transformers model, loaded at first use."""
        return self._loaded[0]

    @property
    def _has_pooler(self) -> bool:
        return self._loaded[1]

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoImageProcessor  # which brings torchvision and the compiler of torch: a second

        return self.source.load(AutoImageProcessor)

    @cached_property
    def _config(self) -> Any:
        return self.source.load(AutoConfig)

    @cached_property
    def _torch_device(self) -> torch.device:
        return self._computing.torch_device

    @cached_property
    def _computing(self) -> ChosenBackend:
        return ChosenBackend(
            self.backend,
            self.precision,
            self.device,
            self.source,
            lambda: f"pooling={self.pooling}",
            self._to_export,
            lambda read, _: read.flatten(1),
        )

    def _to_export(self) -> ToExport:
        network, has_pooler = self._load("fp32", torch.device("cpu"))
        pixels = torch.from_numpy(self.stack([self.preprocess(image) for image in pictures()]))
        return of_pixels(network, partial(self._read, has_pooler), pixels)
