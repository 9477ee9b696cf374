"""dim: multimodal entity linking, from a name in a sentence with an image to an entity of a knowledge base."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version

from dim import _torchvision
from dim.core.lazy import lazily

if os.name == "nt":  # its files know no locks that go with a process, nor names that change places
    raise ImportError("dim runs on Linux and macOS; on Windows install it within WSL, the Linux of Windows")
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
__getattr__ = lazily(__name__, _HOMES)  # `dim --help` needs neither torch nor pandas
