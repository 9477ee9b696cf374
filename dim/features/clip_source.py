"""Where a CLIP model comes from: its architecture, its preprocessing, its weights.

open_clip is imported on use: it takes more than a second.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dim.errors import ConfigError
from dim.features.device import Precision
from dim.features.weights import hash_files
from dim.storage import content_hash


@dataclass(frozen=True)
class ClipSource:
    """A model of open_clip by name, and its weights (see `OpenClipEncoder`). Nothing is read before it is asked for.

    Raises:
        ConfigError: By each attribute: model, weights or tokenizer do not exist or do not fit each other.
    """

    model_name: str
    pretrained: str | None
    random_seed: int | None

    @cached_property
    def _folder(self) -> Path | None:
        """The folder of weights, where `pretrained` is one."""
        return Path(self.pretrained) if self.pretrained and Path(self.pretrained).is_dir() else None

    @cached_property
    def _file_config(self) -> dict[str, Any]:
        """What open_clip_config.json in a folder of weights says."""
        path = Path(self.pretrained or "") / "open_clip_config.json"
        try:
            config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            config["model_cfg"]["embed_dim"]
            return config
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"a folder with open_clip_config.json and weights at {self.pretrained}",
                f"{type(error).__name__}: {error}",
                "Give the file with the weights itself, or the folder as downloaded from a hub.",
            ) from error

    @cached_property
    def config(self) -> dict[str, Any]:
        """open_clip's description of the architecture."""
        if self._folder:
            return dict(self._file_config["model_cfg"])
        import open_clip

        config = open_clip.get_model_config(self.model_name) if ":" not in self.model_name else None
        if config is None:
            near = difflib.get_close_matches(self.model_name, open_clip.list_models(), n=3, cutoff=0.3)
            raise ConfigError(
                "a model name of open_clip",
                f"'{self.model_name}'",
                f"Did you mean {' or '.join(near)}?" if near else "See open_clip.list_models().",
            )
        return dict(config)

    @cached_property
    def _tag(self) -> dict[str, Any]:
        """open_clip's entry of a weights tag; empty where the weights come from elsewhere."""
        if self._folder or not self.pretrained or Path(self.pretrained).is_file():
            return {}
        from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

        tag = dict(get_pretrained_cfg(self.model_name, self.pretrained) or {})
        if not tag:
            tags = list_pretrained_tags_by_model(self.model_name)
            near = difflib.get_close_matches(self.pretrained, tags, n=3, cutoff=0.3) or tags[:3]
            raise ConfigError(
                f"weights of {self.model_name}: a tag, a file or a folder",
                f"'{self.pretrained}', which is none of them",
                f"Check the path, or use a tag such as {', '.join(near) or '(this model has none)'}.",
            )
        if tag.get("quick_gelu") and not self.config.get("quick_gelu"):
            raise ConfigError(
                f"the activation that the weights '{self.pretrained}' were trained with",
                f"the model {self.model_name}, which has another one and would give wrong features",
                f"Set model to {self.model_name}-quickgelu.",
            )
        return tag

    @cached_property
    def preprocess_config(self) -> dict[str, Any]:
        """The fields of open_clip's `PreprocessCfg`."""
        from open_clip.transform import PreprocessCfg, merge_preprocess_dict

        told = self._file_config.get("preprocess_cfg", {}) if self._folder else self._tag
        config: dict[str, Any] = merge_preprocess_dict(PreprocessCfg(), told)
        return config | {"size": self.config["vision_cfg"].get("image_size", 224)}

    @cached_property
    def fingerprint(self) -> str:
        """Names architecture, preprocessing, and the content of the weights (of a tag: its address)."""
        setup = content_hash(json.dumps([self.config, self.preprocess_config], sort_keys=True, default=str))
        return f"{'folder' if self._folder else self.model_name}, weights={self._weights_id}, setup={setup}"

    @property
    def _name(self) -> str:
        """What open_clip is to look up."""
        return f"local-dir:{self._folder}" if self._folder else self.model_name

    @cached_property
    def _weights_id(self) -> str:
        if self.pretrained is None:
            if self.random_seed is None:
                raise ConfigError(
                    f"weights for {self.model_name}",
                    "neither pretrained nor random_seed",
                    "Set pretrained to a tag, a file or a folder (or random_seed, for weights that mean nothing).",
                )
            import open_clip

            return f"random({self.random_seed}, torch {torch.__version__}, open_clip {open_clip.__version__})"
        if self.random_seed is not None:
            raise ConfigError("pretrained or random_seed", "both", "Leave one of them out.")
        if self._folder:
            return hash_files(path for path in self._folder.iterdir() if path.suffix != ".md" and path.is_file())
        if not self._tag:
            return hash_files([Path(self.pretrained)])
        return f"{self.pretrained} of {self._tag.get('hf_hub') or self._tag.get('url')}"

    def load(self, precision: Precision, device: torch.device) -> nn.Module:
        """The model, frozen, on its device."""
        import open_clip
        from open_clip.pretrained import download_pretrained

        try:
            weights = download_pretrained(self._tag) if self._tag else self.pretrained
            with torch.random.fork_rng(), _quiet():
                torch.manual_seed(self.random_seed or 0)
                model: nn.Module = open_clip.create_model(
                    self._name,
                    pretrained=None if self._folder else weights,
                    precision=precision,
                    device=device,
                    pretrained_text=False,
                    require_pretrained=self.pretrained is not None,
                )
        except Exception as error:  # each file format and each hub client raises its own kinds
            raise ConfigError(
                f"weights of {self.model_name} from {self.pretrained or 'random numbers'}",
                f"{type(error).__name__}: {str(error).strip()[:300]}",
                "Give an intact local file or folder with pretrained (weights in safetensors, or a state dict).",
            ) from error
        return model.eval().requires_grad_(False)

    @cached_property
    def tokenize(self) -> Callable[[Sequence[str]], Tensor]:
        """Texts to tokens [len(texts), 77], cut and padded."""
        import open_clip

        try:
            with _quiet():
                tokenizer = open_clip.get_tokenizer(self._name)
        except Exception as error:
            raise ConfigError(
                f"the tokenizer of {self.model_name}",
                f"{type(error).__name__}: {str(error).strip()[:300]}",
                "Give a local folder with pretrained that holds the tokenizer's files too.",
            ) from error
        return lambda texts: tokenizer(list(texts))


@contextmanager
def _quiet() -> Iterator[None]:
    # open_clip reports each step to the root logger, random weights as a warning; errors come as exceptions.
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
