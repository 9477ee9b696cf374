"""Methods without weights: `fit` evaluates them."""

from __future__ import annotations

from torch import Tensor

from dim.methods.baselines.text_method import TextMethod
from dim.training.task import LinkingTask


class Baseline(LinkingTask):
    """Ranks without training. Subclasses score; what they need is made in `build`.

    Args:
        seed: Of shuffled fields; nothing else is drawn.
    """

    is_trained = False

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed=seed)

    def loss_of(self, rows: Tensor) -> Tensor:
        """Raises NotImplementedError: there is nothing to train."""
        raise NotImplementedError(f"{type(self).__name__} has no weights")


class TextBaseline(TextMethod, Baseline):
    """A baseline that reads names and texts as they are; subclasses say what `TextMethod` leaves to them."""
