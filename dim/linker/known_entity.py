"""An entity as a linker knows it, checked once."""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from dim.core.text_form import one_form
from dim.data.dataset import NIL
from dim.data.table_rows import plain
from dim.errors import DataError
from dim.linker.answer import check_half, check_text
from dim.linker.given import shown


@dataclass(frozen=True)
class KnownEntity:
    """An entity of a linker's KB.

    Attributes:
        id: Unique in the KB.
        name: Not blank.
        aliases: Other names.
        text: What is said of it, or None.
        type: Its type, or None.
        popularity: From outside the mentions (sitelinks, page views), or None; NaN, as pandas has it, is None.
        images: Paths of its images; the first usable ones are encoded when it is added.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    text: str | None = None
    type: str | None = None
    popularity: float | None = None
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("aliases", "images"):
            if type(value := getattr(self, name)) is not tuple:
                object.__setattr__(self, name, _texts(name, value))
        for image in self.images:
            if not isinstance(image, str):
                raise DataError("paths of files as images of an entity", shown(image), "Write it to a file.")
            check_half("path of an image", image)
        object.__setattr__(self, "popularity", _finite(self.popularity))
        said = [value for value in (self.text, self.type) if value is not None]
        for value in (self.id, self.name, *self.aliases, *said):
            check_text("id, name, alias, text or type of an entity", value)
        for name in ("id", "name", "text"):
            object.__setattr__(self, name, one_form(value) if (value := getattr(self, name)) else value)
        object.__setattr__(self, "aliases", tuple(map(one_form, self.aliases)))
        if not self.id.strip() or not self.name.strip():
            raise DataError("an entity with an id and a name", f"id '{self.id}', name '{self.name}'", "Give both.")
        if self.id == NIL:
            raise DataError("an entity's id", f"'{NIL}', which says that the KB has none", "Choose another id.")


def _finite(popularity: Any) -> float | None:
    if popularity is None or popularity is pd.NA:
        return None
    is_number = isinstance(popularity, Real) and not isinstance(popularity, bool | np.bool_)
    try:
        value = float(popularity) if is_number else math.nan
    except OverflowError:
        value = math.inf
    if (math.isnan(value) and not is_number) or math.isinf(value):
        raise DataError("a number as popularity of an entity", shown(popularity), "Give a float, or None.")
    return None if math.isnan(value) else value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple | Set | np.ndarray):
        raise DataError(f"a list as {name} of an entity", shown(value), "Put it into a list.")
    return tuple(plain(each) for each in value)
