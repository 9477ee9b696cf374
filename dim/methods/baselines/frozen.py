"""Frozen vectors, compared as they are: zero-shot CLIP, or a sentence encoder without training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dim.errors import ConfigError
from dim.methods.baselines.base import Baseline
from dim.search.scores import Products
from dim.training.beside import TEXT_FIELDS, unit_sum
from dim.training.datamodule import LinkingData


class FrozenVectors(Baseline):
    """Cosine of sums of unit vectors, untrained. Zero-shot CLIP where text and images come from one CLIP model.

    Args:
        mention_fields: What is summed for a mention: `mention`, `context`, `caption`, `image`.
        entity_fields: What is summed for an entity: `name`, `text`, `image`.
        seed: Of shuffled fields.
    """

    def __init__(
        self,
        mention_fields: Sequence[str] = TEXT_FIELDS[0],
        entity_fields: Sequence[str] = TEXT_FIELDS[1],
        seed: int = 0,
    ) -> None:
        super().__init__(seed=seed)
        self.mention_fields, self.entity_fields = tuple(mention_fields), tuple(entity_fields)

    def build(self, data: LinkingData) -> None:
        """Encodes the KB.

        Raises:
            ConfigError: The data lacks a field, or the fields' widths differ: they are of different spaces.
        """
        sides = {
            "mention": (data.mention_fields, self.mention_fields),
            "entity": (data.entity_fields, self.entity_fields),
        }
        for owner, (tables, names) in sides.items():
            if missing := [name for name in names if name not in tables]:
                raise ConfigError(
                    f"the {owner} fields {', '.join(names)}",
                    f"no {', '.join(missing)} (there are {', '.join(tables) or 'none'})",
                    "Name the encoder that makes them (--data.text_encoder, --data.image_encoder), or other fields.",
                )
        widths = {f"{owner}.{name}": tables[name].width for owner, (tables, names) in sides.items() for name in names}
        if len(set(widths.values())) != 1:
            raise ConfigError(
                "fields of one vector space",
                ", ".join(f"{name}: {width}" for name, width in widths.items()),
                "Use one model for text and images (OpenClipEncoder), or fields of one kind.",
            )
        self.kb = unit_sum(data.entity_fields, self.entity_fields, torch.arange(len(data.dataset.entities)))

    def scores_of(self, rows: Tensor) -> Products:
        """Cosines; 0 for a mention or entity that has none of the fields."""
        return Products(unit_sum(self.data.mention_fields, self.mention_fields, rows), self.kb.to(rows.device))
