"""Classes that a user has half written."""

from dim.encoders.base import TextEncoder
from dim.training.two_towers import TwoTowers


class Method(TwoTowers):
    """Says nothing of what a method says."""


class Encoder(TextEncoder):
    """Encodes nothing."""


class Other:
    """Something else."""
