"""Tiny architectures of open_clip, under names of their own while a test runs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import factory
from safetensors.torch import save_file

CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@contextmanager
def registered(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Within it open_clip knows these architectures.

    Args:
        folder: Where their files are written; it is made, if need be.
        configs: By name.
    """
    folder.mkdir(exist_ok=True)
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    before = list(factory._MODEL_CONFIG_PATHS)
    open_clip.add_model_config(folder)
    try:
        yield
    finally:
        factory._MODEL_CONFIG_PATHS[:] = before
        factory._rescan_model_configs()


def write_clip(folder: Path) -> Path:
    """A folder with a CLIP of that architecture and random weights, as downloaded from a hub."""
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    weights = open_clip.CLIP(**CONFIG).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "open_clip_model.safetensors")
    return folder
