"""Frozen vectors, compared as they are: zero-shot CLIP, or a sentence encoder without training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dim.baselines.base import Baseline
from dim.datamodule import EVALUATION_BATCH, FeatureTable, LinkingData
from dim.errors import ConfigError
from dim.evaluation.protocols import Ranked

Fields = tuple[str, ...]
TEXT_FIELDS: tuple[Fields, Fields] = (("mention", "context"), ("name", "text"))
IMAGE_FIELDS: tuple[Fields, Fields] = (("image",), ("image",))


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

    def scores_of(self, rows: Tensor) -> Tensor:
        """Cosines [B, num_entities]; 0 for a mention or entity that has none of the fields."""
        return unit_sum(self.data.mention_fields, self.mention_fields, rows) @ self.kb.to(rows.device).T


def rank_by_frozen_vectors(data: LinkingData, rows: Tensor) -> Ranked | None:
    """The row that stands beside every model: mention + context against name + text; by image where there is no text.

    Args:
        data: The features.
        rows: [n] mention rows.

    Returns:
        The outcome; None where mentions and entities have no such features.
    """
    of_mention, of_entity = TEXT_FIELDS if "mention" in data.mention_fields else IMAGE_FIELDS
    of_mention = tuple(name for name in of_mention if name in data.mention_fields)
    of_entity = tuple(name for name in of_entity if name in data.entity_fields)
    if not of_mention or not of_entity:
        return None
    kb = unit_sum(data.entity_fields, of_entity, torch.arange(len(data.dataset.entities)))
    parts = []
    for batch in rows.split(EVALUATION_BATCH):
        scores = unit_sum(data.mention_fields, of_mention, batch) @ kb.T
        parts.append(data.protocol.rank(scores, data.gold.cpu()[batch], data.candidates_of(batch)))
    return Ranked.concatenate(parts)


def unit_sum(tables: dict[str, FeatureTable], names: Sequence[str], owners: Tensor) -> Tensor:
    """The sum [n, width] of the owners' unit vectors, itself scaled to unit length; zeros where all are missing."""
    vectors = [normalize(tables[name].take(owners)[0]) for name in names]
    return normalize(torch.stack(vectors).sum(0))
