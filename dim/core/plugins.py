"""What installed packages add to dim: they name it by entry points, dim's own setup.cfg among them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeVar

from dim.display.lines import warn
from dim.errors import ConfigError

#: The groups: modules whose public classes folders may name; linkers; converters of releases.
CLASSES, LINKERS, CONVERTERS = "dim.classes", "dim.linkers", "dim.converters"
RUNS = "dim.runs"  #: What opens a run: training's, which those who open linkers' folders do without.
OURS, METHODS = "dim.", "dim.methods."

Found = TypeVar("Found")


def loaded(group: str, read: Callable[[Any], Found], but: str | None = None) -> Iterator[Found]:
    """What the entry points of a group name; dim's own first.

    What cannot be used of others is said, and left out: it must not stop who does not need it.

    Args:
        group: One of those above.
        read: Makes what is wanted of what an entry point names; raises where that is something else.
        but: How the names begin of those that are not imported.

    Raises:
        ConfigError: dim's own are not there: it was installed by another version.
    """
    found = sorted(entry_points(group=group), key=lambda point: (not point.value.startswith(OURS), point.value))
    if group != CONVERTERS and not any(point.value.startswith(OURS) for point in found):
        raise _of_another_version()
    for point in (each for each in found if but is None or not each.value.startswith(but)):
        try:
            each = read(point.load())
        except Exception as error:  # whatever that module raises
            if point.value.startswith(OURS):
                if isinstance(error, ModuleNotFoundError) and str(error.name).startswith(OURS):
                    raise _of_another_version() from error
                raise
            warn(f"{point.value} of an installed package is left out: {type(error).__name__}: {error}")
        else:
            yield each


def _of_another_version() -> ConfigError:
    return ConfigError("dim as it is installed", "an installation of another version", "Run: pip install -e .")


def classes_in(module: ModuleType, only: Collection[str] | None = None) -> list[type]:
    """The classes of `__all__`: what a module merely imports is none of it.

    Args:
        module: That an entry point of `CLASSES` names.
        only: The names that are looked for; None: all.
    """
    names = [name for name in module.__all__ if only is None or name in only]
    return [kind for name in names if isinstance(kind := getattr(module, name), type)]


def all_classes() -> tuple[type, ...]:
    """The classes of all installed packages.

    Raises:
        ConfigError: As `loaded`.
    """
    return tuple(kind for kinds in loaded(CLASSES, classes_in) for kind in kinds)


def encoder_classes() -> tuple[type, ...]:
    """Those of which encoders are, dim's and others': dim's methods, which take seconds to import, have none.

    Raises:
        ConfigError: As `loaded`.
    """
    return tuple(kind for kinds in loaded(CLASSES, classes_in, but=METHODS) for kind in kinds)
