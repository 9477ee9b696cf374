"""Values that a caller gives: as Python's own, told in messages, and held to be texts of whole characters."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from dim.errors import DataError

LONGEST_SHOWN = 60  #: Characters of a value in a message.


def plain(value: Any) -> Any:
    """A value of NumPy, pandas or pathlib as Python's own; one that says that it is missing is None.

    Example:
        >>> plain(np.str_("Ada")), plain(np.float32("nan")), plain(pd.NA), plain((1, 2))
        ('Ada', None, None, [1, 2])
    """
    if type(value) is str or value is None:
        return value
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and np.isnan(value):
        return None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, np.ndarray | pd.Series | pd.Index):
        value = value.tolist()
    if isinstance(value, list | tuple | Set):
        return [plain(each) for each in value]
    return value


def shown(value: Any) -> str:
    """A value in a message: its kind, and its beginning where that tells."""
    if value is None or isinstance(value, Set | Mapping | list | tuple | str | int | float):
        try:
            text = repr(value)[: LONGEST_SHOWN + 1]
        except ValueError:  # Python writes no whole number of thousands of digits
            return f"a {type(value).__name__} with a number of thousands of digits"
        return text if len(text) <= LONGEST_SHOWN else text[:-1] + "…"
    return f"a {type(value).__name__}"


def check_text(what: str, value: object) -> None:
    """Raises DataError where a value is no text, or holds half a character (a lone surrogate), which no file can."""
    if not isinstance(value, str):
        remedy = "Decode the bytes." if isinstance(value, bytes) else "Give a string."
        raise DataError(f"text as {what}", shown(value), remedy)
    check_half(what, value)


def check_half(what: str, value: object) -> None:
    """Raises DataError where a text holds half a character."""
    if not isinstance(value, str):
        return
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"whole characters in the {what}",
            f"half of one, U+{ord(value[error.start]):04X}, at place {error.start:,}",
            "Cut or decode the text at whole characters.",
        ) from error
