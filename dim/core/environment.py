"""Variables of the environment that are other ones for a while."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def restored(names: Iterable[str]) -> Iterator[None]:
    """A block that may change these variables: after it they are what they were, or absent again.

    Example:
        >>> with restored(["DIM_EXAMPLE"]):
        ...     os.environ["DIM_EXAMPLE"] = "1"
        >>> "DIM_EXAMPLE" in os.environ
        False
    """
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
