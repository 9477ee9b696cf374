"""Methods with two towers, which are trained."""

from __future__ import annotations

from dim.inference.two_towers import TwoTowersNetwork
from dim.inference.two_towers import Widths as Widths  # packages of others name it here
from dim.training.task import LinkingTask


class TwoTowers(TwoTowersNetwork, LinkingTask):
    """A method that encodes mentions and entities apart from each other, trained by its `loss_of`.

    Subclasses say what `TwoTowersNetwork` leaves to them, too, and have a linker (`dim.methods.contrastive.linker`)
    without a line more.
    """
