"""Frozen vectors, compared as they are, as a row of reports."""

from __future__ import annotations

from dim.methods.baselines.base import Baseline
from dim.methods.baselines.frozen_network import FrozenNetwork
from dim.training.two_towers import TwoTowers


class FrozenVectors(FrozenNetwork, Baseline, TwoTowers):
    """Cosine of sums of unit vectors, untrained. Zero-shot CLIP where text and images come from one CLIP model.

    Args:
        mention_fields: What is summed for a mention: `mention`, `context`, `caption`, `image`.
        entity_fields: What is summed for an entity: `name`, `text`, `image`.
        seed: Of shuffled fields.
    """
