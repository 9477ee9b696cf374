"""Shuffled features, the control of an ablation: each mention gets the image (or text) of another mention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.files import content_hash


def derange(
    is_present: NDArray[np.bool_], field: str, seed: int, groups: Sequence[Any] | None = None
) -> NDArray[np.int64]:
    """A permutation [n], int64: row i gets the feature of row result[i], another row of the same group.

    Rows without the feature stay without it. A row that is alone in its group keeps its own.

    Args:
        is_present: [n], whether a row (a mention or an entity) has the feature.
        field: The feature's name; each is shuffled independently.
        seed: With `field`, decides the permutation.
        groups: [n] labels within which rows are exchanged, such as splits; None: all rows are one group.

    Example:
        >>> derange(np.array([True, False, True]), "image", 0).tolist()
        [2, 1, 0]
    """
    source = np.arange(len(is_present))
    generator = np.random.default_rng(int(content_hash("shuffle", field, str(seed)), 16))
    labels = np.zeros(len(is_present), dtype=object) if groups is None else np.asarray(groups, dtype=object)
    for label in sorted(set(labels.tolist()), key=str):
        owners = generator.permutation(np.flatnonzero(is_present & (labels == label)))
        source[owners] = np.roll(owners, 1)
    return source
