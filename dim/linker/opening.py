"""A linker by its name alone: a folder, a run, or an id on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from dim.linker.folder import MANIFEST
from dim.linker.linker import Linker


def open_linker(model: str, device: str = "auto") -> Linker:
    """The linker of a folder that `save` or `dim export` wrote, of a run of `dim fit`, or of the hub.

    Args:
        model: A folder, or an id on the hub.
        device: Where towers and encoders compute.

    Raises:
        DataError: There is no linker, or a damaged one.
        ConfigError: The run's method has none.
    """
    folder = Path(model)
    if (folder / "config.yaml").exists() and not (folder / MANIFEST).exists():
        return Linker.from_checkpoint(folder, device)
    return Linker.from_pretrained(model, device)
