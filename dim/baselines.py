"""What the frozen vectors reach without any training: the bar that a trained model has to clear."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dim.datamodule import EVALUATION_BATCH, FeatureTable, LinkingData
from dim.evaluation.protocols import Ranked

TEXT_FIELDS = (("mention", "context"), ("name", "text"))
IMAGE_FIELDS = (("image",), ("image",))


def rank_by_frozen_vectors(data: LinkingData, rows: Tensor) -> Ranked:
    """Ranks by the cosine of sums of unit vectors: mention + context against name + text of the entity.

    Data without texts is ranked by image against image.

    Args:
        data: The features.
        rows: [n] mention rows.
    """
    of_mention, of_entity = TEXT_FIELDS if "mention" in data.mention_fields else IMAGE_FIELDS
    kb = unit_sum(data.entity_fields, of_entity, torch.arange(len(data.dataset.entities)))
    parts = []
    for batch in rows.split(EVALUATION_BATCH):
        scores = unit_sum(data.mention_fields, of_mention, batch) @ kb.T
        parts.append(data.protocol.rank(scores, data.gold.cpu()[batch], data.candidates_of(batch)))
    return Ranked.concatenate(parts)


def unit_sum(tables: dict[str, FeatureTable], names: tuple[str, ...], owners: Tensor) -> Tensor:
    """The sum [n, width] of the owners' unit vectors, itself scaled to unit length; zeros where all are missing."""
    vectors = [normalize(tables[name].take(owners)[0]) for name in names if name in tables]
    return normalize(torch.stack(vectors).sum(0))
