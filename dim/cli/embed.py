"""`dim embed`: what `dim.features.embed` does, with every encoder that is installed known by its short name."""

from __future__ import annotations

from dim.features.embed import embed
from dim.training.registry import registered

__all__ = ["embed"]

registered()
