"""The control of an ablation: evidence of the right kind that belongs to somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.files import content_hash


def derange(
    is_present: NDArray[np.bool_], field: str, seed: int, groups: Sequence[Any] | None = None
) -> NDArray[np.int64]:
    """Whose evidence each owner gets: another's within its group, drawn by (field, seed).

    Owners without evidence keep having none, and so does one that is alone in its group keep its own.

    Args:
        is_present: [n], which owners have evidence.
        field: Its name; fields are shuffled independently.
        seed: Of the draw.
        groups: [n] labels, such as splits; None: one group.

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
