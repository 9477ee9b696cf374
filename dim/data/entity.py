"""An entity, in datasets and in linkers: checked once, where it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from dim.core.text_form import one_form
from dim.data.given_values import check_half, check_text, plain, shown
from dim.errors import DataError


@dataclass(frozen=True, slots=True)
class Entity:
    """An entry of the knowledge base (KB), its id, name, aliases and text in one Unicode form.

    Attributes:
        id: Unique in the KB.
        name: May be empty in a dataset; one that is added to a linker needs it.
        aliases: Other names.
        text: What is said of it, or None. The texts of a dataset stand beside its entities (`Dataset.texts`).
        type: A label, or None.
        popularity: From outside the mentions (sitelinks, page views), or None; NaN, as pandas has it, is None.
        images: Paths of its images, in a dataset relative to its image folder. The first usable ones are encoded when
            it is added to a linker.
        attributes: Whatever else the source of a dataset said; a linker keeps none.

    Raises:
        DataError: A text is none, or holds half a character; the popularity is no finite number; an image is no path.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    text: str | None = None
    type: str | None = None
    popularity: float | None = None
    images: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of_checked(cls, **values: Any) -> Entity:
        """The entity of what one had before, attributes apart: to look at it all again takes most of the time."""
        entity = object.__new__(cls)
        for name, value in values.items():
            object.__setattr__(entity, name, value)
        object.__setattr__(entity, "attributes", {})
        return entity

    def __post_init__(self) -> None:
        for name in ("aliases", "images"):
            value = getattr(self, name)
            if type(value) is not tuple or not all(type(each) is str for each in value):
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
