"""The file of trained weights as training writes it and goes on from it, also where a run was moved."""

from __future__ import annotations

import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from dim.core.files import atomic_path
from dim.core.typed import Mismatch, shown, typed
from dim.errors import StorageError
from dim.training.checkpoint import LAST, PREVIOUS, told_of

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
        """As that of Lightning's class: the name that checkpoints have it under."""
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
