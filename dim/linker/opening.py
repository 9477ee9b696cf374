"""A linker by its name alone: a folder, a run, or an id on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from dim.errors import ConfigError
from dim.linker.folder import MANIFEST
from dim.linker.linker import Linker


def open_linker(model: str, device: str = "auto", dataset: Path | None = None) -> Linker:
    """The linker of a folder that `save` or `dim export` wrote, of a run of `dim fit`, or of the hub.

    Args:
        model: A folder, or an id on the hub.
        device: Where towers and encoders compute.
        dataset: Of a run, where its dataset stands now, if it has moved.

    Raises:
        DataError: There is no linker, or a damaged one.
        ConfigError: The run's method has none, or `dataset` stands beside what is no run.
    """
    folder = Path(model)
    if (folder / "config.yaml").exists() and not (folder / MANIFEST).exists():
        return Linker.from_checkpoint(folder, device, dataset=dataset)
    if dataset is not None:
        raise ConfigError("a run beside --dataset", f"{model}, which has its KB in it", "Leave --dataset out.")
    return Linker.from_pretrained(model, device)
