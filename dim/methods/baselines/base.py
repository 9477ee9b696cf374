"""A method without weights: `fit` evaluates it."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from dim.training.datamodule import LinkingData
from dim.training.task import LinkingTask


class Baseline(LinkingTask):
    """Ranks without training. Subclasses score; what they need is made in `build`.

    Args:
        seed: Of shuffled fields; nothing else is drawn.
    """

    is_trained = False

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed=seed)

    @abstractmethod
    def build(self, data: LinkingData) -> None:
        """Makes what scoring needs; called once.

        Raises:
            ConfigError: The data lacks what the baseline ranks by.
        """

    def loss_of(self, rows: Tensor) -> Tensor:
        """Raises NotImplementedError: there is nothing to train."""
        raise NotImplementedError(f"{type(self).__name__} has no weights")
