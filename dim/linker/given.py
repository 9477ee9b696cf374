"""What a caller of a linker hands over, in any container: taken where its meaning is clear, else refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from operator import index
from pathlib import Path
from typing import Any

import pandas as pd

from dim.data.given_values import plain, shown
from dim.data.table_files import list_cell, text_cell
from dim.errors import ConfigError, DataError


def as_row(value: Any) -> Mapping[str, Any] | None:
    """The fields of one thing: of a mapping, a row of a DataFrame, or a named tuple. None where it has none."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, pd.Series) and value.index.inferred_type == "string":
        return {str(name): each for name, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: each for name, each in value._asdict().items() if name != "Index"}
    return None


def is_one(value: Any) -> bool:
    """Whether a value is one thing with fields, and no container of things."""
    return as_row(value) is not None or (is_dataclass(value) and not isinstance(value, type))


def each_of(given: Any, what: str, remedy: str) -> Iterable[Any]:
    """The things in a list, a generator, an array, or the rows of a table.

    Args:
        given: What was handed over.
        what: The things, for the message.
        remedy: What to do where it is no container of them.

    Raises:
        DataError: It is none.
    """
    if isinstance(given, pd.DataFrame):
        rows: list[dict[str, Any]] = given.rename(columns=str).to_dict("records")  # type: ignore[assignment]
        return rows
    if hasattr(given, "to_pylist"):  # of Arrow
        return list(given.to_pylist())
    if not isinstance(given, str | bytes | os.PathLike) and not is_one(given):
        try:
            found: Iterable[Any] = iter(given)
            return found
        except TypeError:
            pass
    raise DataError(what, shown(given), remedy)


def ids_of(given: Any, what: str) -> list[str]:
    """Entity ids, one or many: texts or whole numbers, or entities, whose ids count.

    Args:
        given: A text is one id; of a container each.
        what: Their part in a question, for the message.

    Raises:
        DataError: Something else is among them.
    """
    single = isinstance(given, str | int) or is_one(given) or plain(given) is None
    things = [given] if single else each_of(given, f"ids of entities as {what}", "Give a list of ids.")
    found = []
    for thing in things:
        value = plain(thing.id if is_dataclass(thing) and hasattr(thing, "id") else thing)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DataError(f"ids of entities as {what}", shown(thing), "Give a list of ids, each a text.")
        found.append(value if isinstance(value, str) else text_cell(value))
    return found


def candidates_of(given: Any) -> tuple[str, ...] | None:
    """The ids that compete, None where nothing is said. A text is one id, or several with `|` between them."""
    if isinstance(given, str):
        return tuple(list_cell(given)) if given.strip() else None
    is_missing = given is None or given is pd.NA or (isinstance(given, float) and given != given)
    return None if is_missing else tuple(ids_of(given, "candidates"))


def check_top_k(top_k: Any) -> int:
    """How many answers are wanted. Raises ConfigError where that is no whole number of at least 1."""
    try:
        count = 0 if isinstance(top_k, bool) else index(top_k)
    except TypeError:
        count = 0
    if count < 1:
        raise ConfigError("top_k of at least 1", shown(top_k), "Give a whole number.")
    return count


def check_labels(labels: Any) -> None:
    """Raises ConfigError where labels are one text, whose letters would be taken for them."""
    if isinstance(labels, str):
        raise ConfigError("labels as a list", repr(labels), f"Write ['{labels}'].")


def check_path(value: Any, what: str) -> Path:
    """A folder's path. Raises DataError where it is no text and no path."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise DataError(f"the path of {what}", shown(value), "Give it as a text or a pathlib.Path.")
    return Path(os.fspath(value))
