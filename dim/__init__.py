"""dim: multimodal entity linking, from a name in a sentence with an image to an entity of a knowledge base."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dim import _torchvision

_torchvision.install()

try:
    __version__ = version("dim-linker")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "Dataset": "dim.data.dataset",
    "Entity": "dim.data.entity",
    "Linker": "dim.linker",
    "Mention": "dim.data.dataset",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    # Lazily, so that `dim --help` needs neither torch nor pandas.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dim' has no attribute {name!r}")
