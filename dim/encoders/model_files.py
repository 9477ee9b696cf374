"""The files of a model's folder that loading it reads: what a fingerprint covers and what an export copies."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from safetensors.torch import save

from dim.core.excerpts import first_line
from dim.core.folder_files import peek_json, read_json
from dim.errors import DataError

#: Suffixes of weights; of these only what the loader chooses is read.
WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".ot", ".onnx", ".gguf", ".tflite"}
PICKLED = {".bin", ".pt", ".pth", ".ckpt"}  #: Suffixes of weights that PyTorch pickles; read with `weights_only`.
#: What training checkpoints hold beside tensors: a scalar of NumPy is made of its type and its bytes, and runs nothing.
_NUMBERS: list[Any] = [
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(code)) for code in ("?", "i4", "i8", "f2", "f4", "f8")),
]
_OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")
_UNREAD = {".md", ".py", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf"}
#: In the order in which open_clip chooses from a folder.
_CLIP_WEIGHTS = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"),
    *("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)


class ShardIndex(TypedDict):
    """Of weights in several files: which holds each tensor."""

    weight_map: dict[str, str]


def transformers_files(folder: Path) -> list[Path]:
    """What `from_pretrained` reads of a folder: its top level, without weights that others are preferred to."""
    weights = _first(
        folder,
        ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"),
    )
    if weights is None:
        return _beside_weights(folder)
    if weights.suffix != ".json":
        return [*_beside_weights(folder), weights]
    try:
        shards = set(peek_json(weights, ShardIndex)["weight_map"].values())
    except (OSError, ValueError):
        shards = set()  # loading says what is wrong with it
    return [*_beside_weights(folder), *(folder / shard for shard in sorted(shards) if (folder / shard).is_file())]


def clip_files(folder: Path) -> list[Path]:
    """What open_clip reads of a folder: its config, its tokenizer's files, and the weights that it chooses."""
    found = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".bin", ".pth"})
    weights = _first(folder, _CLIP_WEIGHTS) or next(iter(sorted(found, key=lambda p: p.suffix != ".safetensors")), None)
    return [*_beside_weights(folder), *([] if weights is None else [weights])]


def every_file(folder: Path) -> list[Path]:
    """All files of a folder and of those in it, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def copy_files(source: Path, files: list[Path], target: Path, load: Callable[[Path], Any] | None) -> bool:
    """Copies files of a folder to another one; pickled weights become safetensors of the name that loaders look for.

    Returns whether there were such.

    Links, as the hub's cache has them, are followed.

    Args:
        source: The folder.
        files: Of it.
        target: Is made.
        load: Gives the tensors of a file of pickled weights; None: every file is copied as it is.

    Raises:
        DataError: Pickled weights are something else than tensors by name.
    """
    for file in files:
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if load is None:
            shutil.copyfile(file, place)
        elif file.name.endswith(".bin.index.json"):
            index = read_json(
                file, ShardIndex, f"the index of weights {file}", "Get the model again from where it came."
            )
            index["weight_map"] = {name: safe_name(shard) for name, shard in index["weight_map"].items()}
            (place.parent / safe_name(file.name)).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        elif file.suffix in PICKLED:
            write_safetensors(file, place.parent / safe_name(file.name), load)
        else:
            shutil.copyfile(file, place)
    return load is not None and any(file.suffix in PICKLED for file in files)


def safe_name(name: str) -> str:
    """What a file of pickled weights is called as safetensors.

    Example:
        >>> safe_name("pytorch_model-00001-of-00002.bin"), safe_name("open_clip_pytorch_model.bin"), safe_name("my.pt")
        ('model-00001-of-00002.safetensors', 'open_clip_model.safetensors', 'my.safetensors')
    """
    stem, _, rest = name.partition(".")
    renamed = stem.replace("pytorch_model", "model") if "pytorch_model" in stem else stem
    return (
        f"{renamed}.safetensors.index.json"
        if rest == "bin.index.json"
        else f"{Path(f'{renamed}.{rest}').stem}.safetensors"
    )


def write_safetensors(source: Path, target: Path, load: Callable[[Path], Any]) -> None:
    """Writes the tensors of pickled weights as safetensors.

    Raises:
        DataError: They are not tensors by name, or not to be read without running code of theirs.
    """
    try:
        state = load(source)
        tensors = {name: value.clone().contiguous() for name, value in state.items()}  # of tied weights each a copy
        data = save(tensors, metadata={"format": "pt"})
    except Exception as error:  # pickle, torch and safetensors raise their own kinds
        raise DataError(
            f"weights in {source} that can be read as tensors by name (torch.load with weights_only)",
            f"{type(error).__name__}: {first_line(error)}",
            "Save them as safetensors: model.save_pretrained(folder), or safetensors.torch.save_file(state, file).",
        ) from error
    target.write_bytes(data)  # save_file lets nobody else read the file


def load_pickled(path: Path) -> Any:
    """The content of pickled weights, read without running code that they name; numbers of NumPy may stand in it."""
    with torch.serialization.safe_globals(_NUMBERS):
        return torch.load(path, map_location="cpu", weights_only=True)


def load_clip_weights(path: Path) -> Any:
    """Tensors by name of a state dict, of one in a training checkpoint, or of what OpenAI published (TorchScript)."""
    if is_torchscript(path):
        # torch's own reader of such files knows no names of Python, and nothing of the file is called.
        state = dict(torch.jit.load(path, map_location="cpu").state_dict())
        return {name: value for name, value in state.items() if name not in _OPENAI_NUMBERS}
    content = load_pickled(path)
    state = content["state_dict"] if isinstance(content, dict) and "state_dict" in content else content
    if not all(str(name).startswith("module.") for name in state):
        return state
    return {name.removeprefix("module."): value for name, value in state.items()}


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip file with code beside its tensors."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def needs_conversion(path: Path) -> bool:
    """Whether open_clip cannot read pickled weights itself, with `weights_only`."""
    if is_torchscript(path):
        return True
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception:  # each kind of damage raises its own; reading it with numbers of NumPy says which
        return True
    return False


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _beside_weights(folder: Path) -> list[Path]:
    """The files of a folder's top level that are no weights, and that no loader passes over."""
    indexes = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
    chosen = _first(folder, ("model.safetensors", *indexes[:1], "pytorch_model.bin", *indexes[1:]))
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and path.name not in ("LICENSE", "NOTICE")
        and path.suffix not in WEIGHTS | _UNREAD
        and (not path.name.endswith(".index.json") or path == chosen)
    )
