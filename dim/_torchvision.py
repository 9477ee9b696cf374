"""Keeps `import torchvision` alive beside a torch that its compiled part was not built for.

The wheels of torchvision for CUDA, installed beside a CPU build of torch, cannot load their compiled library.
torchvision then fails at import, because its Python part describes operators (`nms`, `qnms`) whose schemas the
library would have defined. Defining the schemas is enough: nothing in dim calls the operators.

`install()` puts a finder at the head of `sys.meta_path`. It imports nothing until somebody imports
torchvision, and it acts only where the compiled library does not load.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_libraries: list[object] = []  # torch forgets a schema when its Library object is collected


class TorchvisionGuard(importlib.abc.MetaPathFinder):
    """Defines the missing schemas right before torchvision is first imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns None always: the import goes on with the ordinary finders."""
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            spec = importlib.machinery.PathFinder.find_spec(fullname)
            if spec is not None and spec.origin is not None:
                define_missing_schemas(Path(spec.origin).parent)
        return None


def define_missing_schemas(package: Path) -> bool:
    """Defines the schemas where the compiled library in `package` does not load; tells whether it did."""
    import torch

    libraries = [*package.glob("_C*.so"), *package.glob("_C*.pyd"), *package.glob("_C*.dylib")]
    for library in libraries:
        try:
            torch.ops.load_library(str(library))
            return False
        except OSError:
            continue
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS.values():
        fragment.define(schema)
    _libraries.append(fragment)
    return True


def install() -> None:
    """Installs the guard once, unless torchvision is loaded already."""
    if "torchvision" not in sys.modules and not any(isinstance(f, TorchvisionGuard) for f in sys.meta_path):
        sys.meta_path.insert(0, TorchvisionGuard())
