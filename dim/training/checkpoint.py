"""The file of trained weights: read, and named by the hash of its weights."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import torch
from torch import Tensor

from dim.core.excerpts import first_line
from dim.core.files import hash_parts, regular
from dim.core.typed import Mismatch, shown, typed
from dim.display.lines import warn
from dim.errors import CheckpointError, ConfigError
from dim.evaluation.result_files import BEST

if TYPE_CHECKING:
    from dim.training.datamodule import LinkingDataModule

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  #: Beside `BEST`, of the last epochs.
_UNREADABLE = (
    *(RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)


class TrainedOn(TypedDict):
    """What a checkpoint says of its weights; methods say more, which is compared and not used."""

    seed: NotRequired[int | None]
    dataset: NotRequired[str]
    dataset_hash: NotRequired[str]
    entity_text: NotRequired[str | None]
    context_template: NotRequired[str]
    text_template: NotRequired[str]
    fields: NotRequired[list[str]]


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
    said = first_line(error)
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


def check_checkpoint(path: Path, seed: int, datamodule: LinkingDataModule) -> None:
    """Refuses, before data is read, a file that is no checkpoint, and weights of another seed or other texts.

    Raises:
        ConfigError: There is no such file.
        CheckpointError: It is no checkpoint, of another seed, or of other texts. The rest is compared when it loads.
    """
    if not path.is_file():
        raise ConfigError(f"a checkpoint at --ckpt_path {path}", "no such file", "Name best, last, or a .ckpt file.")
    saved = read_checkpoint(path).get("dim", {})
    datamodule.trained_fields = saved.get("fields")
    for option in ("entity_text", "context_template", "text_template"):
        asked = getattr(datamodule.choices, option)
        if saved.get(option, asked) != asked:
            raise CheckpointError(
                f"a checkpoint whose {option} is {asked}",
                f"{saved[option]} in {path}",
                f"Use it with --data.{option} {saved[option]!r}, or fit again.",
            )
    found = saved.get("seed")
    if found is not None and found != seed:
        raise CheckpointError(
            f"weights of seed {seed}",
            f"a checkpoint of seed {found}: {path}",
            f"Use it as what it is: --seed_everything {found}, or name a checkpoint of this run.",
        )


def checkpoint(run: Path, name: str) -> Path:
    """The `best` weights on tune, or the `last` epoch's. Raises ConfigError where there are none."""
    path = run / "checkpoints" / f"{name}.ckpt"
    if not path.exists():
        raise ConfigError(f"a checkpoint {path}", "none", "Run dim fit with the same --run first, or give --ckpt_path.")
    return path


def to_resume_from(folder: Path) -> Path | None:
    """The checkpoint that training goes on from: the last one that is whole, and with a note where that is not `last`.

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
