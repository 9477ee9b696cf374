"""Any model of open_clip, frozen: texts and images into one space.

open_clip takes more than a second to import: that is done on use, as every command knows this class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dim.encoders.backends import check_backend
from dim.encoders.base import Features, ImageEncoder, LoadedAnew, TextEncoder
from dim.encoders.chosen_backend import ByBackend, ChosenBackend
from dim.encoders.clip_source import HUB, LOCAL, ClipSource
from dim.encoders.device import DTYPES, Backend, EncoderPrecision, Precision, check_compiler, deferred, to_device
from dim.encoders.encoder_check import pictures
from dim.encoders.exported import PIXELS, ToExport, of_pixels
from dim.encoders.model_files import clip_files, copy_files, load_clip_weights
from dim.errors import ConfigError

_CHUNK = 4096  # texts that are tokenised at once

_loaded: WeakValueDictionary[tuple[str, str, str, bool], nn.Module] = WeakValueDictionary()


class OpenClipEncoder(ByBackend, LoadedAnew, TextEncoder, ImageEncoder):
    """Raw (not normalised) CLIP features, as the DIM release takes them; texts are cut at the model's 77 tokens.

    Two encoders of the same model, weights and precision share one copy in memory.

    Args:
        model: A model name of open_clip, such as `ViT-B-32-quickgelu`, or `hf-hub:` and the id of a model on the hub,
            which brings its own weights (`pretrained` is not looked at).
        pretrained: Its weights: a tag such as `openai` (downloaded at first use), a file, or a folder as downloaded
            from a hub (`open_clip_config.json` and weights). A folder brings its own architecture, so that `model`
            is not looked at. Of pickled weights (`.pt`, `.pth`, `.bin`) tensors alone are read, with `weights_only`.
        precision: Of weights and arithmetic, `int8` by `onnx` and `openvino` alone; the features are float32 always.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        random_seed: Draw the weights at random instead (`pretrained` is null then), for benchmarks and tests.
        draft: Decode large JPEGs at 1/2, 1/4 or 1/8 of their size, at least twice the model's. Faster, and slightly
            other features: it is part of the fingerprint.
        compile_model: Run through `torch.compile`: seconds to minutes at the start, faster after it. Like the device,
            it may change the last digits of a feature, and is no part of the fingerprint.
        projection: Whether image features are projected into the space that they share with texts. False gives what a
            ViT pools before it, of its own width (1,024 for ViT-L/14), for images alone.
        patches: Give the vectors of a ViT's patches, after its last normalisation, not the one that it pools, for
            a method that looks at each. Of the ViT's own width, for images alone.
        class_token: With `patches`, give that of the class token before them: it stands for the whole image.
        revision: A branch, tag or commit of what `model` or `pretrained` names on the hub. A run records the commit.
        tokenizer_revision: The same of the tokenizer, where the model takes it from another place on the hub.
        preprocess: How images are prepared, where a file of weights does not say: a tag of the model, whose way is
            taken, or the fields `mean`, `std`, `interpolation` and `resize_mode` of open_clip. A folder says it itself,
            a tag too; of a file the tag of that name, or what all tags of the model have in common, is taken, and where
            there is no such thing this has to be set.
        backend: What computes the network of images, as of `TransformersTextEncoder`; texts are for `torch` alone.

    Raises:
        ConfigError: The model or the weights do not exist, or do not fit each other, or nothing here can compile.
            Raised at first use.
    """

    backend_as = "image_encoder"

    def __init__(
        self,
        model: str = "ViT-B-32-quickgelu",
        pretrained: str | None = "openai",
        precision: EncoderPrecision = "fp32",
        device: str = "auto",
        random_seed: int | None = None,
        draft: bool = False,
        compile_model: bool = False,
        projection: bool = True,
        patches: bool = False,
        revision: str | None = None,
        tokenizer_revision: str | None = None,
        preprocess: dict[str, Any] | str | None = None,
        backend: Backend = "torch",
        class_token: bool = False,
    ) -> None:
        check_backend(backend, precision, device, {"compile_model": True} if compile_model else {})
        if class_token and not patches:
            raise ConfigError("class_token beside patches: true", "class_token: true alone", "Leave it out.")
        self.backend, self.class_token = backend, class_token
        is_on_hub = model.startswith(HUB)
        is_path = model.startswith(LOCAL)
        name, weights = (model, None) if is_on_hub else (model if is_path else model.replace("/", "-"), pretrained)
        self.source = ClipSource(name, weights, random_seed, revision, tokenizer_revision, preprocess)
        self.precision, self.device = precision, device
        self.draft, self.compile_model, self.projection, self.patches = draft, compile_model, projection, patches

    @property
    def known_options(self) -> Mapping[str, Any]:
        """The commits and the backend, as far as they are known."""
        revision, tokenizer_revision = self.source.known_revisions
        backend = self._computing.known_name
        return {"revision": revision, "tokenizer_revision": tokenizer_revision, "backend": backend}

    @property
    def width(self) -> int:
        """Columns of the shared space, or of the ViT without projection; known without loading weights."""
        if self.projection and not self.patches:
            return int(self.source.config["embed_dim"])
        return int(self._vit["width"])

    @property
    def _vit(self) -> Mapping[str, Any]:
        vision: Mapping[str, Any] = self.source.config["vision_cfg"]
        if not isinstance(vision.get("layers"), int) or "timm_model_name" in vision:
            raise ConfigError(
                "a ViT of open_clip, whose features can be had without projection, or by patches",
                self.source.model_name,
                "Leave projection and patches out.",
            )
        return vision

    @property
    def num_patches(self) -> int:
        """Vectors that it gives of each image; known without loading weights."""
        if not self.patches:
            return 1
        sides, sizes = (
            each if isinstance(each, list | tuple) else (each, each)
            for each in (self._vit["image_size"], self._vit["patch_size"])
        )
        return int(sides[0] // sizes[0]) * int(sides[1] // sizes[1]) + self.class_token

    @property
    def gives_whole_first(self) -> bool:
        """Without patches, or with the class token before them."""
        return not self.patches or self.class_token

    @cached_property
    def fingerprint(self) -> str:
        """Names architecture, preprocessing, precision, draft decoding, and the content of the weights."""
        draft = f", draft={self.draft_side}" if self.draft else ""
        computing = f"precision={self.precision}{draft}{self._pooled}{self._computing.described}"
        return f"OpenClipEncoder({self.source.fingerprint}, {computing})"

    @property
    def pinned_options(self) -> Mapping[str, str]:
        """The commits of what is on the hub, and the backend that `auto` chose."""
        return self.source.pinned_options | self._computing.pinned_options

    def pin(self, options: Mapping[str, str]) -> None:
        """Has commits loaded; called before anything is."""
        source = self.source
        revision = options.get("revision", source.revision)
        tokenizer_revision = options.get("tokenizer_revision", source.tokenizer_revision)
        self.source = replace(source, revision=revision, tokenizer_revision=tokenizer_revision)

    def copy_model(self, source: Path, target: Path) -> bool:
        """Copies a file of weights, or what open_clip reads of a folder; pickled weights as safetensors.

        The backend's export goes along.
        """
        is_folder = source.is_dir()
        files = clip_files(source) if is_folder else [source]
        is_converted = copy_files(source if is_folder else source.parent, files, target, load_clip_weights)
        self.write_export(target)
        return is_converted

    @property
    def _pooled(self) -> str:
        if self.patches:
            return f", patches=True{', class_token=True' if self.class_token else ''}"
        return "" if self.projection else ", projection=False"

    @property
    def draft_side(self) -> int | None:
        """Twice the model's image size, where `draft` is set."""
        size = self.source.preprocess_config["size"]
        return 2 * (size if isinstance(size, int) else max(size)) if self.draft else None

    @cached_property
    def model(self) -> nn.Module:
        """The open_clip model, loaded at first use."""
        key = (self.source.fingerprint, self.precision, str(self.model_device), self.projection)
        model = _loaded.get(key)
        if model is None:
            model = _loaded[key] = self._load(self._computing.torch_precision, self.model_device)
        return model

    def _load(self, precision: Precision, device: torch.device) -> nn.Module:
        model = self.source.load(precision, device)
        if not self.projection:
            model.visual.proj = None  # type: ignore[union-attr]
        return model

    def are_cut(self, texts: Sequence[str]) -> Sequence[bool]:
        """Whether a text has more tokens than the model takes."""
        most = self.source.tokenize([""]).shape[1]
        empty = self.source.tokenize([""], most + 1)[0]
        long = [place for place, text in enumerate(texts) if len(text.encode()) + 2 > most]
        cut = [False] * len(texts)
        for start in range(0, len(long), _CHUNK):
            part = long[start : start + _CHUNK]
            # With room for one more the last token of a text that is cut is the end's; the one before is a word's.
            is_full = ~torch.isin(self.source.tokenize([texts[place] for place in part], most + 1)[:, -2], empty)
            for place, full in zip(part, is_full.tolist(), strict=True):
                cut[place] = full
        return cut

    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width] of one batch."""
        return self.submit_text(texts)()

    def submit_text(self, texts: Sequence[str]) -> Callable[[], Features]:
        """What gives the features of `encode_text` when called."""
        if not self.projection or self.patches:
            found = "patches: true" if self.patches else "projection: false"
            raise ConfigError("a CLIP text encoder", f"{found}, which is for images", "Leave it out.")
        if self.backend != "torch":
            raise ConfigError("backend: torch for a CLIP text encoder", f"backend: {self.backend}", "Leave it out.")
        from dim.encoders.clip_model import cut

        with torch.inference_mode():
            tokens = cut(self.model, self.source.tokenize(texts))
            return deferred(self._run_text(self.model, to_device(tokens.numpy(), self.model_device)))

    def preprocess(self, image: Image.Image) -> NDArray[np.uint8]:
        """The image resized and cropped, [height, width, 3]; as bytes, which cost a quarter of floats to hand over."""
        return np.asarray(self._resize(image))

    def to_device(self, pixels: NDArray[np.uint8]) -> Tensor:
        """The stack on the model's device, still as bytes."""
        return to_device(pixels, self.model_device)

    def encode_image(self, pixels: NDArray[np.uint8] | Tensor) -> Features:
        """Features [batch · num_patches, width] of a stack [batch, height, width, 3]."""
        return self.submit_image(pixels)()

    def submit_image(self, pixels: NDArray[np.uint8] | Tensor) -> Callable[[], Features]:
        """What gives the features of `encode_image` when called."""
        with torch.inference_mode():
            values, export = self.normalize_pixels(pixels), self._computing.exported
            return deferred(self._run_image(self.model, values) if export is None else export({PIXELS: values}))

    def normalize_pixels(self, pixels: NDArray[np.uint8] | Tensor) -> Tensor:
        """The model's input [batch, 3, height, width] on its device, by open_clip's arithmetic."""
        batch = pixels if isinstance(pixels, Tensor) else self.to_device(pixels)
        # Another backend takes fp32, whatever it computes in.
        return _normalized(batch, *self._mean_and_std).to(DTYPES[self._computing.torch_precision])

    @cached_property
    def _mean_and_std(self) -> tuple[Tensor, Tensor]:
        # Kept on the device: to send them anew with each batch would wait for the batch before.
        return _mean_and_std(self.source.preprocess_config, self.model_device)

    @cached_property
    def _run_text(self) -> Callable[[nn.Module, Tensor], Tensor]:
        from dim.encoders.clip_model import encode_tokens

        return self._compiled(encode_tokens)

    @cached_property
    def _run_image(self) -> Callable[[nn.Module, Tensor], Tensor]:
        return self._compiled(self._read_image)

    @property
    def _read_image(self) -> Callable[[nn.Module, Tensor], Tensor]:
        return partial(_encode_patches, has_class=self.class_token) if self.patches else _encode_pixels

    def _compiled(self, function: Callable[[nn.Module, Tensor], Tensor]) -> Callable[[nn.Module, Tensor], Tensor]:
        if not self.compile_model:
            return function
        check_compiler(self.model_device.type)
        return torch.compile(function)

    @cached_property
    def model_device(self) -> torch.device:
        """Where the model computes."""
        return self._computing.torch_device

    @cached_property
    def _computing(self) -> ChosenBackend:
        return ChosenBackend(
            self.backend,
            self.precision,
            self.device,
            self.source,
            lambda: f"images{self._pooled}",
            self._to_export,
            lambda read, _: read,
        )

    def _to_export(self) -> ToExport:
        stack = torch.from_numpy(np.stack([self.preprocess(image) for image in pictures()]))
        pixels = _normalized(stack, *_mean_and_std(self.source.preprocess_config, stack.device))
        return of_pixels(self._load("fp32", stack.device), self._read_image, pixels)

    @cached_property
    def _resize(self) -> Callable[[Image.Image], Image.Image]:
        from dim.encoders.clip_model import resizing

        return resizing(self.source.preprocess_config)


def _mean_and_std(config: Mapping[str, Any], device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(config[name], device=device)[:, None, None] for name in ("mean", "std"))
    return mean, std


def _normalized(batch: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Bytes [batch, height, width, 3] as [batch, 3, height, width], by open_clip's arithmetic."""
    values = batch.permute(0, 3, 1, 2).contiguous().float().div_(255)
    return values.sub_(mean).div_(std)


def _encode_patches(model: nn.Module, pixels: Tensor, has_class: bool) -> Tensor:
    visual: Any = model.visual
    found = visual.forward_intermediates(
        pixels,
        indices=1,
        normalize_intermediates=True,
        intermediates_only=True,
        output_fmt="NLC",
        output_extra_tokens=has_class,
    )
    vectors: Tensor = found["image_intermediates"][-1]  # [batch, patches, width]
    if has_class:
        vectors = torch.cat([found["image_intermediates_prefix"][-1], vectors], dim=1)
    return vectors.flatten(0, 1)


def _encode_pixels(model: nn.Module, pixels: Tensor) -> Tensor:
    features: Tensor = model.encode_image(pixels)  # type: ignore[operator]
    return features
