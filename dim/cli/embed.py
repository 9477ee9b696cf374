"""`dim embed`: what `dim.features.embed` does, with every encoder that is installed known by its short name."""

from __future__ import annotations

from dim.core.plugins import encoder_classes
from dim.features.embed import embed

__all__ = ["embed"]

encoder_classes()
