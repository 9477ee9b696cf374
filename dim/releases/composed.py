"""The tables of a release in one Unicode form, whatever its layout."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dim.core.text_form import one_form
from dim.releases.base import Release

_KEPT = ["context"]  #: `MentionRows` composed it already, together with the offsets that count its characters.


def compose_release(release: Release) -> None:
    """Composes ids, names, aliases, texts, paths and attributes in place (`one_form`); streamed texts come so."""
    texts = (table for table in release.texts.values() if isinstance(table, pd.DataFrame))
    for table in (release.entities, release.mentions, *texts):
        for column in table.columns.difference(_KEPT):
            if table[column].dtype == object or pd.api.types.is_string_dtype(table[column]):
                table[column] = pd.Series(list(map(_composed, table[column])), table.index, dtype=object)


def _composed(value: Any) -> Any:
    if isinstance(value, str):
        return one_form(value)
    return [one_form(item) for item in value] if isinstance(value, list) else value
