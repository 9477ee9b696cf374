"""The entities of a KB, built row by row; rows of one entity are merged, and that is counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dim.core.text_form import one_form
from dim.data.files import clean_text
from dim.data.skipped import Skipped
from dim.releases.entity_texts import texts_table
from dim.releases.mention_rows import json_cell

MERGED = "entities that stand twice were merged (names become aliases)"
TWO_TEXTS = "of merged entities with two texts the first is kept"


def named_entities(ids: Sequence[str], names: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """Entities of which there are names alone: the first of each is its name (none: empty), the others are aliases.

    Example:
        >>> named_entities(["Q1", "Q2"], {"Q1": ["Ada", "A. Lovelace"]})["aliases"].tolist()
        [['A. Lovelace'], []]
    """
    known = [list(names.get(entity_id, ())) for entity_id in ids]
    columns = {"id": ids, "name": [(each or [""])[0] for each in known], "aliases": [each[1:] for each in known]}
    return pd.DataFrame(columns, dtype=object)


class EntityRows:
    """Collects entities in the order of the file. A few long lists take less memory than many small objects."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.met = Skipped()  #: What was put right, by kind; nothing is left out.
        self._names: list[str] = []
        self._aliases: list[list[str]] = []
        self._texts: list[str] = []
        self._images: list[list[str]] = []
        self._attributes: list[str | None] = []
        self._row: dict[str, int] = {}

    def __contains__(self, entity_id: str) -> bool:
        return one_form(entity_id) in self._row

    def add(
        self,
        entity_id: str,
        *,
        name: str,
        text: str,
        aliases: Sequence[str] = (),
        images: Sequence[str] = (),
        attributes: Mapping[str, Any] = {},
    ) -> int:
        """Takes in one row, and returns the number of its entity.

        Args:
            entity_id: A second row of an id is merged with the first.
            name: Of the entity; spaces around it go.
            text: What is said of it.
            aliases: Further names; of merged rows the first one's count.
            images: Paths relative to the image folder.
            attributes: Whatever else the source says; of merged rows the first one's count.
        """
        name, text, images = clean_text(name).strip(), clean_text(text).strip(), [clean_text(path) for path in images]
        entity_id = one_form(entity_id)
        known = self._row.setdefault(entity_id, len(self.ids))
        if known < len(self.ids):
            self._merge(known, name, text, images)
            return known
        self.ids.append(entity_id)
        self._names.append(name)
        self._aliases.append([clean_text(alias).strip() for alias in aliases])
        self._texts.append(text)
        self._images.append(images)
        self._attributes.append(json_cell(attributes))
        return known

    def _merge(self, row: int, name: str, text: str, images: list[str]) -> None:
        self.met.add(MERGED, f"{self.ids[row]} '{name}'")
        if name and not self._names[row]:
            self._names[row] = name
        elif name and name not in (self._names[row], *self._aliases[row]):
            self._aliases[row].append(name)
        if self._texts[row] and text not in ("", self._texts[row]):
            self.met.add(TWO_TEXTS, self.ids[row])
        self._texts[row] = self._texts[row] or text
        self._images[row] += [image for image in images if image not in self._images[row]]

    def set_images(self, images: Mapping[str, str]) -> None:
        """Gives entities the one image that is known of them (id → path)."""
        self._images = [[images[entity_id]] if entity_id in images else [] for entity_id in self.ids]

    def table(self) -> pd.DataFrame:
        """The entities (columns of `ENTITY_SCHEMA` without type and popularity)."""
        columns = {"id": self.ids, "name": self._names, "aliases": self._aliases}
        columns |= {"images": self._images, "attributes": self._attributes}
        return pd.DataFrame(columns, dtype=object)

    def texts(self) -> pd.DataFrame:
        """Their texts (columns of `TEXT_SCHEMA`); entities without a text are left out."""
        return texts_table(zip(self.ids, self._texts, strict=True))

    def notes(self) -> list[str]:
        """A sentence for each kind of thing that was put right."""
        return [f"{kind}: {n:,}, first: {', '.join(self.met.examples[kind])}" for kind, n in self.met.counts.items()]
