"""The linkers that there are: those of installed packages, by their entry points of the group `dim.linkers`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from dim.core.folder_files import peek_json
from dim.core.plugins import LINKERS, loaded
from dim.errors import ConfigError, DataError
from dim.training.task import LinkingTask

Kind = type[Any]  #: A subclass of `dim.linker.Linker`, which looks things up here and is not imported.


@cache
def linker_kinds() -> tuple[Kind, ...]:
    """Subclasses of `Linker`, dim's own first."""
    return tuple(loaded(LINKERS, _checked))


def _checked(kind: Kind) -> Kind:
    if not (isinstance(kind.content, str) and issubclass(kind.method, LinkingTask)):
        raise TypeError(f"{kind.__name__} is no linker: its `content` is a text, its `method` a LinkingTask")
    return kind


class Contents:
    """What the manifests of linkers name as their content."""

    def __contains__(self, content: Any) -> bool:
        return any(kind.content == content for kind in linker_kinds())


def kind_of_task(task: LinkingTask, where: str) -> Kind:
    """The linker of a run's method.

    Args:
        task: The run's.
        where: The run, for the message.

    Raises:
        ConfigError: It has none.
    """
    for base in type(task).__mro__:  # a method that extends another may have a linker of its own
        for kind in linker_kinds():
            if kind.method is base:
                return kind
    methods = ", ".join(kind.method.__name__ for kind in linker_kinds())
    raise ConfigError(
        f"a run whose method has a linker ({methods})",
        f"{type(task).__name__} at {where}",
        f"Name a run of a config whose model is one of these; a package of your own names its linker under {LINKERS}.",
    )


def kind_of_folder(folder: Path, manifest: str) -> Kind:
    """The linker that a folder says it holds.

    Raises:
        DataError: It says nothing, or a kind that is not installed.
    """
    remedy = "Save the linker again, or get the folder again from where it came."
    try:
        content = peek_json(folder / manifest, dict[str, Any])["content"]
    except OSError as error:
        raise DataError(f"a linker in {folder}", f"no file {manifest}", remedy) from error
    except (ValueError, KeyError) as error:
        found = f"a damaged {manifest} ({type(error).__name__}: {error})"
        raise DataError(f"a linker in {folder}", found[:300], remedy) from error
    for kind in linker_kinds():
        if kind.content == content:
            return kind
    known = ", ".join(kind.content for kind in linker_kinds())
    raise DataError(f"a linker in {folder} of a kind that is here ({known})", f"a {str(content)[:80]}", "Install it.")
