"""Frozen vectors, compared as they are: zero-shot CLIP, or a sentence encoder without training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dim.errors import ConfigError
from dim.features.batch import Batch
from dim.inference.data import TEXT_FIELDS
from dim.inference.two_towers import TwoTowersNetwork, Widths


class FrozenNetwork(TwoTowersNetwork):
    """What answers of `FrozenVectors`, whose options it takes."""

    def __init__(
        self,
        mention_fields: Sequence[str] = TEXT_FIELDS[0],
        entity_fields: Sequence[str] = TEXT_FIELDS[1],
        seed: int = 0,
    ) -> None:
        super().__init__(seed=seed)
        self.mention_fields, self.entity_fields = tuple(mention_fields), tuple(entity_fields)

    def make_towers(self, mention: Widths, entity: Widths) -> None:
        """Nothing is made: the fields are compared as they are.

        Raises:
            ConfigError: Their widths differ: they are of different spaces.
        """
        self.field_widths = dict(mention), dict(entity)
        if len({*mention.values(), *entity.values()}) != 1:
            named = [(owner, of_owner) for owner, of_owner in (("mention", mention), ("entity", entity))]
            raise ConfigError(
                "fields of one vector space",
                ", ".join(f"{owner}.{name}: {width}" for owner, of in named for name, width in of.items()),
                "Use one model for text and images (OpenClipEncoder), or fields of one kind.",
            )

    def encode_mentions(self, batch: Batch) -> Tensor:
        """Sums [B, width] of the unit vectors of the fields; zeros where all are missing."""
        return torch.stack([normalize(field.mean()[0]) for field in batch.fields.values()]).sum(0)

    def encode_entities(self, batch: Batch) -> Tensor:
        """As of mentions."""
        return self.encode_mentions(batch)
