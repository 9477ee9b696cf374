"""Modules that name what others have, and import it when it is asked for: who wants a part pays for that part."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__`.

    Args:
        module: Its full name.
        homes: Name → the full name of the module that has it.

    Example:
        >>> lazily("dim.core.lazy", {"nearest": "dim.core.choices"})("nearest").__name__
        'nearest'
    """

    def found(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[module], name, value)  # from now on it is there, also for who imports nothing
        return value

    return found
