"""`dim rank` and `dim hold-out`: the ranker of a finished run, and the datasets that its NIL is measured on."""

from dim.rank.command import rank
from dim.rank.holding_out import hold_out

__all__ = ["hold_out", "rank"]
