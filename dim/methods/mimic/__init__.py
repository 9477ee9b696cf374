"""MIMIC (arXiv 2307.09721): three units compare the tokens and patches of a mention with those of each entity."""

from dim.core.lazy import lazily

_HOMES = {"MIMIC": "dim.methods.mimic.module"}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
