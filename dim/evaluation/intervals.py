"""How far a share would move if other mentions had been drawn: percentile bootstrap over clusters."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dim.core.arrays import Doubles
from dim.evaluation.significance import ROUNDS
from dim.images.regions import split_region

BLOCK = 512  #: Rounds whose weights are in memory as floats at once.


def image_clusters(images: Iterable[object], own: Iterable[str]) -> NDArray[np.object_]:
    """What mentions are drawn by [n]: the file of each one's image, or a label of its own where it has none.

    Two regions of one image are one image.

    Example:
        >>> image_clusters(["a.jpg#xywh=0,0,9,9", "a.jpg#xywh=9,0,9,9", None], ["row 0", "row 1", "row 2"]).tolist()
        ['image a.jpg', 'image a.jpg', 'row 2']
    """
    pairs = zip(images, own, strict=True)
    found = [f"image {split_region(image)[0]}" if isinstance(image, str) and image else label for image, label in pairs]
    return np.array(found, dtype=object)


class Bootstrap:
    """Draws clusters of mentions with replacement, once, and gives intervals of any means over these draws.

    The same draws serve every system and every difference, so intervals of one table belong together.

    Args:
        clusters: [n] labels; mentions with one label (such as one image) are drawn together. For mentions that
            stand for themselves give each a label of its own.
        rounds: Draws.
        seed: Of the draws.

    Example:
        >>> low, high = Bootstrap([0, 1, 2, 3], rounds=999).interval([[1.0], [1.0], [0.0], [0.0]])
        >>> float(low[0]), float(high[0])
        (0.0, 1.0)
    """

    def __init__(self, clusters: ArrayLike, rounds: int = ROUNDS, seed: int = 0) -> None:
        labels, self._cluster = np.unique(np.asarray(clusters), return_inverse=True)
        self.num_clusters, self.rounds = len(labels), rounds
        self._counts = draw_counts(self.num_clusters, rounds, seed)

    def interval(
        self, values: ArrayLike, where: ArrayLike | None = None, confidence: float = 0.95
    ) -> tuple[Doubles, Doubles]:
        """The bounds [m] of the mean of each column.

        Args:
            values: [n, m], a column each a system and metric.
            where: [n, m] bool, the mentions that each column's mean is taken over; None: all.
            confidence: The share of draws between the bounds.

        Returns:
            low and high, [m] each; NaN where a column has no mention.
        """
        table = np.asarray(values, dtype=np.float64)
        chosen = np.ones_like(table) if where is None else np.asarray(where, dtype=np.float64)
        sums, sizes = self._by_cluster(np.where(chosen > 0, table, 0.0)), self._by_cluster(chosen)
        means = np.full((self.rounds, table.shape[1]), np.nan)
        for start in range(0, self.rounds, BLOCK):
            weights = self._counts[start : start + BLOCK].astype(np.float64)
            drawn = weights @ sizes
            # A draw may hold no mention of a small subset; it says nothing of its mean.
            np.divide(weights @ sums, drawn, out=means[start : start + BLOCK], where=drawn > 0)
        low, high = (np.full(table.shape[1], np.nan) for _ in range(2))
        present = chosen.sum(0) > 0
        if present.any():
            tail = 50 * (1 - confidence)
            low[present], high[present] = np.nanpercentile(means[:, present], [tail, 100 - tail], axis=0)
        return low, high

    def _by_cluster(self, values: Doubles) -> Doubles:
        sums = np.zeros((self.num_clusters, values.shape[1]))
        np.add.at(sums, self._cluster, values)
        return sums


def draw_counts(num_clusters: int, rounds: int, seed: int) -> NDArray[np.uint16]:
    """How often each cluster is drawn [rounds, num_clusters] in draws of `num_clusters` with replacement.

    Example:
        >>> draw_counts(5, 3, seed=0).sum(1).tolist()
        [5, 5, 5]
    """
    generator = np.random.default_rng(seed)
    counts = np.zeros((rounds, num_clusters), dtype=np.uint16)
    for start in range(0, rounds if num_clusters else 0, BLOCK):
        size = min(BLOCK, rounds - start)
        drawn = generator.integers(0, num_clusters, size=(size, num_clusters), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * num_clusters
        counts[start : start + size] = np.bincount(drawn.ravel(), minlength=size * num_clusters).reshape(size, -1)
    return counts
