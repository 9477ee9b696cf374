"""What installed packages add to dim: they name it by entry points, dim's own setup.cfg among them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from dim.display.lines import warn

#: The groups: modules whose public classes folders may name; linkers; converters of releases.
CLASSES, LINKERS, CONVERTERS = "dim.classes", "dim.linkers", "dim.converters"


def loaded(group: str) -> Iterator[tuple[str, Any]]:
    """What the entry points of a group name, with the module that each stands in; dim's own first.

    What cannot be imported of others is said, and left out: it must not stop who does not need it.

    Args:
        group: One of those above.
    """
    own_first = sorted(entry_points(group=group), key=lambda point: (not point.value.startswith("dim."), point.value))
    for point in own_first:
        try:
            found = point.load()
        except Exception as error:  # whatever that module raises
            if point.value.startswith("dim."):
                raise
            warn(f"{point.value} of an installed package is left out: {type(error).__name__}: {error}")
        else:
            yield point.module, found
