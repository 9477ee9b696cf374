"""A linker by its name alone: a folder, a run, or an id on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from dim.linker.folder import MANIFEST
from dim.linker.linker import Linker
from dim.linker.recipe import packages


def open_linker(model: str, device: str = "auto", trust: str | None = None) -> Linker:
    """The linker of a folder that `save` or `dim export` wrote, of a run of `dim fit`, or of the hub.

    Args:
        model: A folder, or an id on the hub.
        device: Where towers and encoders compute.
        trust: Packages, separated by commas, whose classes a folder may name; a run of one's own may name any.

    Raises:
        DataError: There is no linker, or a damaged one.
        ConfigError: The run's method has none.
    """
    folder = Path(model)
    if (folder / "config.yaml").exists() and not (folder / MANIFEST).exists():
        return Linker.from_checkpoint(folder, device)
    return Linker.from_pretrained(model, device, trusted=trusted_by(trust))


def trusted_by(trust: str | None) -> tuple[str, ...]:
    """The packages that `--trust` names.

    Example:
        >>> trusted_by("my_package, other")
        ('my_package.', 'other.')
    """
    return packages((trust or "").split(","))
