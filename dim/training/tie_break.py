"""What orders entities that a method itself cannot tell apart: pairs of mention and entity in, scores out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.inference.data import LinkingData


class Scorer(ABC):
    """Says how well entities fit mentions. It knows nothing of the method that asks."""

    incidental: ClassVar[frozenset[str]] = frozenset()  #: As of `LinkingTask`.
    is_model = False  #: Whether it is a linker of its own, which makes a hybrid of the method that asks.

    @property
    @abstractmethod
    def name(self) -> str:
        """What a report calls it."""

    @property
    def fingerprint(self) -> str:
        """What changes whenever the scores would; the options of the constructor aside."""
        return type(self).__name__

    @abstractmethod
    def open(self, data: LinkingData) -> None:
        """Makes it ready for the mentions and the KB of `data`.

        Raises:
            ConfigError: It cannot score them.
        """

    @abstractmethod
    def scores(self, mentions: Rows, entities: Rows) -> NDArray[np.float64]:
        """Scores [n], higher is better, of pairs: mention rows [n] and KB rows [n]."""


class Popularity(Scorer):
    """The popularity of the KB (sitelinks, page views), whatever the mention; unknown counts as least popular."""

    name = "popularity"

    def open(self, data: LinkingData) -> None:
        """Reads the KB's column."""
        known = data.dataset.column("entities", "popularity").to_numpy(zero_copy_only=False).astype(np.float64)
        self._popularity = np.where(np.isfinite(known), known, -np.inf)

    def scores(self, mentions: Rows, entities: Rows) -> NDArray[np.float64]:
        """The entities' popularity, -inf where it is unknown."""
        found: NDArray[np.float64] = self._popularity[entities]
        return found
