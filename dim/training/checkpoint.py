"""The file of trained weights: read, named by the hash of its weights, and written so that a moved run resumes."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from dim.core.files import atomic_path, hash_parts, regular
from dim.core.typed import Mismatch, shown, typed
from dim.display.lines import warn
from dim.errors import CheckpointError, StorageError

BEST = Path("checkpoints") / "best.ckpt"  #: In a run's folder: the weights that its figures are of.
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  #: Beside it, of the last epochs.
_UNREADABLE = (
    *(RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)


class TrainedOn(TypedDict):
    """What a checkpoint says of its weights; methods say more, which is compared and not used."""

    seed: NotRequired[int | None]
    dataset: NotRequired[str]
    entity_text: NotRequired[str | None]
    context_template: NotRequired[str]
    fields: NotRequired[list[str]]


VERSION = "pytorch-lightning_version"
#: What Lightning reads of a checkpoint beside the weights.
OF_TRAINING = frozenset(
    {
        *("callbacks", "loops", "optimizer_states", "lr_schedulers", "LinkingDataModule"),
        *("MixedPrecision", "native_amp_scaling_state", "amp_scaling_state"),
    }
)
#: What it goes on from is there; `dim.training.resumed` looks into it. Of this form since a key has a hyphen.
Resumed = TypedDict(
    "Resumed",
    {
        "pytorch-lightning_version": str,
        "loops": dict[str, Any],
        "callbacks": dict[str, Any],
        "optimizer_states": list[Any],
        "lr_schedulers": list[Any],
    },
)


class Saved(TypedDict):
    """What dim reads of a checkpoint; the rest is Lightning's."""

    state_dict: dict[str, Any]
    epoch: int
    dim: NotRequired[TrainedOn]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What stands in a checkpoint; tensors stay mapped until they are read. Its checksums are compared first.

    Raises:
        CheckpointError: It is no checkpoint, a damaged one, or what dim reads of it is not what it should be.
    """
    try:
        with zipfile.ZipFile(regular(path)) as parts:
            if sum(part.file_size for part in parts.infolist()) > path.stat().st_size:
                raise ValueError("parts that become more than the file")  # torch writes them as they are
            if (part := parts.testzip()) is not None:
                raise ValueError(f"the checksum of {part} differs")
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        _check(found)
    except _UNREADABLE as error:
        raise no_checkpoint(path, error) from error
    return found


@contextmanager
def told_of(path: Path | str) -> Iterator[None]:
    """Turns a Mismatch in a checkpoint into a CheckpointError that names its file."""
    try:
        yield
    except Mismatch as error:
        raise no_checkpoint(path, error) from error


def no_checkpoint(path: Path | str, error: Exception) -> CheckpointError:
    """What is told of a file in which something is not what `dim fit` writes."""
    said = (str(error).splitlines() or [""])[0]
    return CheckpointError(
        f"a checkpoint that dim fit wrote at {path}",
        said if isinstance(error, Mismatch) else f"{type(error).__name__}: {said}",
        "Name another (--ckpt_path), or fit again.",
    )


def _check(found: Any) -> None:
    """Raises Mismatch where what dim reads of a checkpoint is not what it should be."""
    typed(found, Saved)
    if found["epoch"] < 0:
        raise Mismatch("epoch", "a number of epochs", str(found["epoch"]))
    for name, value in found["state_dict"].items():
        check_tensor(value, f"state_dict.{name}"[:200])
    for name, value in found.get("dim", {}).items():
        if not isinstance(value, str | int | float | list | dict | None):  # tensors do not compare
            raise Mismatch(f"dim.{name}"[:200], "a text, a number, a list or a mapping", shown(value))


def check_tensor(value: Any, where: str) -> None:
    """Raises Mismatch where a value is no tensor, or one that becomes more in memory than is stored of it."""
    is_plain = isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_quantized or value.is_meta)
    if not is_plain or value.nbytes > value.untyped_storage().nbytes():
        raise Mismatch(where, "a tensor with all its values", shown(value))


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """A short hash of names, shapes, types and values: the same weights give the same hash in whatever file.

    Example:
        >>> hash_weights({"a": torch.ones(2)}) == hash_weights({"a": torch.ones(2).clone()})
        True
    """

    def parts() -> Iterator[bytes | str]:
        for name in sorted(weights):
            value = weights[name].detach().cpu().contiguous()
            yield f"{name} {value.dtype} {tuple(value.shape)}"
            yield value.reshape(-1).view(torch.uint8).numpy().data.tobytes()

    return hash_parts(parts())


def describe_checkpoint(saved: Mapping[str, Any], file: str) -> dict[str, Any]:
    """What a figure says of the checkpoint that it comes from: file, epoch (from 1), seed, hash of the weights."""
    return {
        "file": file,
        "epoch": int(saved["epoch"]) + 1,
        "seed": saved.get("dim", {}).get("seed"),
        "weights": hash_weights(saved["state_dict"]),
    }


def said_of(checkpoint: Mapping[str, Any]) -> str:
    """The line that stands below figures.

    Example:
        >>> said_of({"file": "checkpoints/best.ckpt", "epoch": 12, "seed": 0, "weights": "1f2e"})
        'checkpoint: checkpoints/best.ckpt, epoch 12, weights 1f2e'
    """
    return f"checkpoint: {checkpoint['file']}, epoch {checkpoint['epoch']}, weights {checkpoint['weights']}"


def weights_of(run: Path) -> str | None:
    """The hash of a run's best weights; None where it has none (a baseline, or no run at all)."""
    path = run / BEST
    return hash_weights(read_checkpoint(path)["state_dict"]) if path.exists() else None


def file_in(run: Path, path: Path) -> str:
    """How a checkpoint is named beside a figure: relative to its run, or, of another run, by its whole path."""
    path, run = path.resolve(), run.resolve()
    return path.relative_to(run).as_posix() if path.is_relative_to(run) else str(path)


def to_resume_from(folder: Path) -> Path | None:
    """The checkpoint that training goes on from: the last one that is whole, and with a note where that is not `last`.

    Args:
        folder: Where they are.

    Returns:
        None where there is none.

    Raises:
        CheckpointError: All are damaged.
    """
    damaged: list[CheckpointError] = []
    why = f"there is no {folder / LAST}"
    for path in (folder / name for name in (LAST, PREVIOUS, BEST.name)):
        if path.exists():
            try:
                epoch = read_checkpoint(path)["epoch"] + 1
            except CheckpointError as error:
                why = why if damaged else f"{path} is damaged ({error.found})"
                damaged.append(error)
                continue
            if path.name != LAST:
                warn(f"note: {why}; training goes on from {path.name}, after epoch {epoch}")
            return path
    if damaged:
        raise damaged[0]
    return None


class WholeCheckpoints(TorchCheckpointIO):
    """Writes each checkpoint beside its place, to the disk itself, and gives it its name then.

    Lightning's own goes through the system's temporary folder: where that is on another disk, a kill leaves a part of
    a checkpoint under its name.

    Until training ends the `last` one before is kept as well, for when the last one is damaged by something else: it
    costs its size (three times the trained weights), and no time.

    Attributes:
        resumes: Whether what is read is gone on from; else Lightning gets nothing of it beside the weights.
    """

    def __init__(self, resumes: bool = True) -> None:
        self.resumes = resumes
        self._whole: set[Path] = set()  # what this process wrote or read: nothing damaged takes the place of PREVIOUS

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Writes a checkpoint. Raises StorageError where the disk is full."""
        path = Path(path)
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)
            if path.name == LAST and path in self._whole and path.exists():
                keep_as(path, path.with_name(PREVIOUS))
        self._whole.add(path)

    def load_checkpoint(self, path: str | Path, *args: Any, **options: Any) -> dict[str, Any]:
        """Reads a checkpoint. Raises CheckpointError where what training goes on from is not what it should be."""
        found: dict[str, Any] = super().load_checkpoint(path, *args, **options)
        if self.resumes:
            with told_of(path):
                typed(found, Resumed)
                if not re.fullmatch(r"[2-9]\.[0-9]+\.[0-9]+\S{0,20}", found[VERSION]):  # it would be made another first
                    raise Mismatch(VERSION, "2 or later", shown(found[VERSION]))
        else:
            found = {name: value for name, value in found.items() if name not in OF_TRAINING}
            found[VERSION] = version("pytorch-lightning")
        self._whole.add(Path(path))
        return found


def keep_as(path: Path, kept: Path) -> None:
    """Gives a checkpoint another name beside its own, in the place of what has it."""
    try:
        with atomic_path(kept) as temporary:
            os.link(path, temporary)
    except (OSError, StorageError):  # a disk without links
        path.replace(kept)


class RunCheckpoint(ModelCheckpoint):
    """Lightning's, whose memory of the best score survives a run that was moved, renamed or written elsewhere first.

    Lightning forgets the score when the folder's path differs: the first epoch after the resume would then replace
    the best weights, however bad it is.
    """

    @property
    def state_key(self) -> str:
        """As that of Lightning's class, under which older runs saved it."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the state over, which `dim.training.resumed` has checked, with each path moved to this folder."""

        def here(path: str) -> str:
            return str(Path(self.dirpath or "") / Path(path).name) if path else path

        moved = state_dict | {"dirpath": self.dirpath}
        moved["best_k_models"] = {here(path): score for path, score in state_dict.get("best_k_models", {}).items()}
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            moved[name] = here(state_dict.get(name, ""))
        super().load_state_dict(moved)
