"""The rows of a comparison: systems over their seeds, baselines, and the group that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.core.arrays import Doubles
from dim.evaluation.intervals import image_clusters
from dim.evaluation.metrics import CUTOFFS
from dim.evaluation.results import BASELINES, COLUMNS
from dim.report.runs import Run


@dataclass
class System:
    """One row of a comparison: what runs of several seeds are, or a baseline.

    Attributes:
        name: How tables call it; unique within its group.
        ranks: [seeds, n] float64; inf where the gold was missed.
        runs: One a seed; empty for a baseline.
        folder: The folder of its seeds; None for a baseline.
        undefined: Columns that its protocol gives no value for (k beyond the beams).
    """

    name: str
    ranks: Doubles
    runs: list[Run] = field(default_factory=list)
    folder: Path | None = None
    undefined: frozenset[str] = frozenset()

    def values(self) -> Doubles:
        """Hits at each cut-off and the reciprocal rank [n, 6] of each mention, as means over seeds."""
        hits = [(self.ranks <= k).mean(0) for k in CUTOFFS]
        return np.stack([*hits, (1 / self.ranks).mean(0)], axis=1)

    def seed_means(self) -> Doubles:
        """Top-k and MRR [seeds, 6] of each seed."""
        hits = [(self.ranks <= k).mean(1) for k in CUTOFFS]
        return np.stack([*hits, (1 / self.ranks).mean(1)], axis=1)

    @property
    def misses_golds(self) -> bool:
        """Whether a gold is not among the answers, so that nobody knows its rank."""
        return not np.isfinite(self.ranks).all()

    @property
    def hits(self) -> Doubles:
        """The share of seeds [n] that answer each mention right."""
        hits: Doubles = (self.ranks <= 1).mean(0)
        return hits


@dataclass
class Group:
    """Systems that answered the same mentions over the same KB under the same protocol.

    Attributes:
        head: The metrics of its first run, for what all share.
        frame: The first run's ranks, for the columns that all share.
        systems: In the order they were given.
        baselines: The string floors and the frozen vectors, each once.
    """

    head: dict[str, Any]
    frame: pd.DataFrame
    systems: list[System]
    baselines: list[System]

    @property
    def rows(self) -> list[System]:
        """Baselines, then systems."""
        return [*self.baselines, *self.systems]

    @property
    def clusters(self) -> NDArray[np.object_]:
        """A label [n] a mention: its image, or itself where it has none."""
        images = self.frame["image"] if "image" in self.frame else [None] * len(self.frame)
        return image_clusters(images, "mention " + self.frame["mention_id"].astype(str))


def make_system(name: str, folder: Path | None, runs: list[Run]) -> System:
    """One system of runs that share their mentions and configuration."""
    ranks = np.stack([_rank_values(run.ranks["rank"]) for run in runs])
    undefined = frozenset(c for c in COLUMNS if any(run.metrics.get(c) is None for run in runs))
    return System(name, ranks, runs, folder, undefined)


def make_baselines(systems: Sequence[System]) -> list[System]:
    """The string floors and the frozen vectors, once each: of the features that most systems have."""
    found: list[System] = []
    for key, title in BASELINES.items():
        distinct: list[tuple[Doubles, list[str]]] = []
        for system in systems:
            frame = system.runs[0].ranks
            if f"{key}_rank" not in frame or frame[f"{key}_rank"].isna().all():
                continue
            ranks = _rank_values(frame[f"{key}_rank"])
            same = next((names for known, names in distinct if np.array_equal(known, ranks)), None)
            if same is None:
                distinct.append((ranks, [system.name]))
            else:
                same.append(system.name)
        if distinct:
            ranks, names = max(distinct, key=lambda pair: len(pair[1]))
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            of = "" if len(distinct) == 1 else f" of {names[0]}{more}"
            found.append(System(title + of, ranks[None]))
    return found


def _rank_values(ranks: pd.Series) -> Doubles:
    values = ranks.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isnan(values), np.inf, values)
