"""A model of salesforce-lavis, from a local folder or as LAVIS downloads it. Lives in an environment of its own.

A local model is a folder in which LAVIS finds all that it would download:

    model.yaml                    LAVIS's model config (its keys `model` and `preprocess`); its paths are relative to
                                  the folder: `pretrained: blip2.pth`, `opt_model: opt-2.7b`
    bert-base-uncased/            config, tokenizer and weights that the Q-Former starts from
    checkpoints/eva_vit_g.pth     the image encoder (clip_vit_L.pth for `vit_model: clip_L`)

LAVIS reads `.pth` with `torch.load`, which since torch 2.6 takes tensors and plain values only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dim.core.excerpts import first_line
from dim.encoders.device import resolve_device
from dim.encoders.weights import hash_files
from dim.errors import ConfigError, DataError

CONFIG = "model.yaml"
_PARTS = (CONFIG, "bert-base-uncased", "checkpoints")


class LavisModel:
    """A model and its image processor, each loaded at first use.

    Args:
        name: As LAVIS registers it.
        model_type: LAVIS's name for what it downloads.
        path: A local folder; None: LAVIS downloads.
        device: `auto`, `cpu`, `cuda` …

    Raises:
        ConfigError: LAVIS is not installed, or the model cannot be loaded. Raised at first use.
    """

    def __init__(self, name: str, model_type: str, path: str | None, device: str) -> None:
        self.name, self.model_type, self.path, self.device = name, model_type, path, device

    @cached_property
    def content(self) -> str:
        """What the weights are known by: the hash of a folder's files, or LAVIS's own name for a download."""
        if self.path is None:
            return f"{self.name}/{self.model_type}"
        return hash_files(sorted(path for path in self._folder(self.path).rglob("*") if path.is_file()))

    @property
    def precision(self) -> str:
        """Of weights and arithmetic: LAVIS takes fp32 on a CPU and mixes in fp16 elsewhere."""
        return "fp32" if self.torch_device.type == "cpu" else "fp16"

    @cached_property
    def torch_device(self) -> torch.device:
        """Where the model runs."""
        return resolve_device(self.device)

    @cached_property
    def network(self) -> Any:
        """LAVIS's model, for evaluation."""
        model_type, _ = self._registered()
        from lavis.models import load_model_and_preprocess

        with self._explained(), _standing_in(self.path):
            network = load_model_and_preprocess(self.name, model_type, is_eval=True, device=self.torch_device)[0]
        return network.requires_grad_(False)

    @cached_property
    def processor(self) -> Any:
        """LAVIS's image processor for evaluation; image workers have it without the weights."""
        _, config = self._registered()
        from lavis.models import load_preprocess
        from omegaconf import OmegaConf

        with self._explained():
            return load_preprocess(OmegaConf.load(config).preprocess)[0]["eval"]

    def pixels(self, image: Image.Image) -> NDArray[np.float32]:
        """Pixels [3, height, width] of a decoded image."""
        pixels: NDArray[np.float32] = self.processor(image).numpy()
        return pixels

    def refuse_copy(self) -> NoReturn:
        """Raises DataError: what LAVIS reads is pickled, and it reads nothing else."""
        raise DataError(
            f"a model whose weights can be written as safetensors, in the place of {self.name} at {self.path}",
            "one of salesforce-lavis, which reads pickled weights alone",
            "Fit with Blip2Captioner or OpenClipEncoder; captions can be written beforehand: dim caption.",
        )

    def stack(self, images: Sequence[NDArray[np.float32]]) -> torch.Tensor:
        """Pixels [batch, 3, height, width] on the model's device."""
        return torch.from_numpy(np.stack(images)).to(self.torch_device)

    def _registered(self) -> tuple[str, str]:
        """LAVIS's key of the model's type, and the path of its config."""
        try:
            from lavis.common.registry import registry
            from lavis.models import load_model_and_preprocess  # noqa: F401 - fills the registry
        except ModuleNotFoundError as error:
            raise ConfigError(
                "the package salesforce-lavis",
                f"no module {error.name}",
                "It needs an environment of its own: make .venv-lavis/.installed "
                "(docs/how_to/captions_and_features.md).",
            ) from error
        kind = registry.get_model_class(self.name)
        types = kind.PRETRAINED_MODEL_CONFIG_DICT
        if self.path is not None:
            key = str(self._folder(self.path).resolve())
            types[key] = f"{key}/{CONFIG}"  # absolute, so LAVIS does not look for it in its own folder
            return key, types[key]
        if self.model_type not in types:
            raise ConfigError(f"a model_type of {self.name} ({', '.join(types)})", self.model_type, "Name one of them.")
        return self.model_type, kind.default_config_path(self.model_type)

    def _folder(self, path: str) -> Path:
        folder = Path(path)
        missing = [name for name in _PARTS if not (folder / name).exists()]
        if missing:
            raise ConfigError(
                f"a folder with {', '.join(_PARTS)} at {path}",
                f"no {', '.join(missing)}" if folder.is_dir() else "no such folder",
                "Put there what LAVIS would download; dim/encoders/lavis_model.py lists it.",
            )
        return folder

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # LAVIS, Transformers and the hub client raise their own kinds
            raise ConfigError(
                f"the model {self.name} at {self.path or self.model_type}",
                f"{type(error).__name__}: {first_line(error)}",
                f"Check {CONFIG} and the files that it names, or make LAVIS's downloads reachable.",
            ) from error


@contextmanager
def _standing_in(path: str | None) -> Iterator[None]:
    """LAVIS names its parts without a folder, so while it loads, the process stands in the model's one."""
    if path is None:
        yield
        return
    before, hub, folder = Path.cwd(), torch.hub.get_dir(), Path(path).resolve()
    os.chdir(folder)
    torch.hub.set_dir(str(folder))
    try:
        yield
    finally:
        os.chdir(before)
        torch.hub.set_dir(hub)
