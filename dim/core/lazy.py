"""Modules that name what others have, and import it when it is asked for: who wants a part pays for that part."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
        with importing():
            value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[module], name, value)  # from now on it is there, also for who imports nothing
        return value

    return found


@contextmanager
def importing() -> Iterator[None]:
    """A block that imports much: garbage is collected after it.

    Looking for it through all that modules make, again and again, takes a tenth of the time and finds next to nothing.

    Example:
        >>> with importing():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
