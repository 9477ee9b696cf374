"""The linkers that there are: those of installed packages, by their entry points of the group `dim.linkers`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim.core.folder_files import peek_json
from dim.core.plugins import LINKERS, loaded
from dim.errors import ConfigError, DataError
from dim.inference.method import Method
from dim.linker.recipe import SAVE_AGAIN

Kind = type[Any]  #: A subclass of `dim.linker.Linker`, which looks things up here and is not imported.


_found: list[Kind] = []
_further: list[Iterator[Kind]] = []  # what is left to import; empty until somebody asks


def linker_kinds() -> Iterator[Kind]:
    """Subclasses of `Linker`, dim's own first; each is imported when it is its turn."""
    if not _found and not _further:
        _further.append(loaded(LINKERS, _checked))
    place = 0
    while place < len(_found) or (_further and _import_next()):
        yield _found[place]
        place += 1


def _import_next() -> bool:
    """Whether there was another."""
    try:
        kind = next(_further[0], None)
    except BaseException:  # Ctrl-C among the imports, too: who asks again hears of all
        _further.clear()
        _found.clear()
        raise
    if kind is not None:
        _found.append(kind)
    return kind is not None


def _checked(kind: Kind) -> Kind:
    if not (isinstance(kind.content, str) and issubclass(kind.method, Method)):
        raise TypeError(f"{kind.__name__} is no linker: its `content` is a text, its `method` a Method")
    return kind


class Contents:
    """What the manifests of linkers name as their content."""

    def __contains__(self, content: Any) -> bool:
        return any(kind.content == content for kind in linker_kinds())


def kind_of_task(task: Method, where: str) -> Kind:
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
    try:
        content = peek_json(folder / manifest, dict[str, Any])["content"]
    except OSError as error:
        raise DataError(f"a linker in {folder}", f"no file {manifest}", SAVE_AGAIN) from error
    except (ValueError, KeyError) as error:
        found = f"a damaged {manifest} ({type(error).__name__}: {error})"
        raise DataError(f"a linker in {folder}", found[:300], SAVE_AGAIN) from error
    for kind in linker_kinds():
        if kind.content == content:
            return kind
    known = ", ".join(kind.content for kind in linker_kinds())
    raise DataError(f"a linker in {folder} of a kind that is here ({known})", f"a {str(content)[:80]}", "Install it.")
