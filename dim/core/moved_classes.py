"""Classes by the names that they had: runs, linkers and configurations of earlier versions are read with them."""

from __future__ import annotations

from typing import Any

#: Module then, module now, and the classes that a file could name there.
MODULES = (
    ("dim.baselines.bm25", "dim.methods.baselines.bm25", "BM25"),
    ("dim.baselines.frozen", "dim.methods.baselines.frozen", "FrozenVectors"),
    ("dim.baselines.names", "dim.methods.baselines.names", "NamesAndPopularity NamesOnly"),
    ("dim.contrastive.losses", "dim.methods.contrastive.losses", "NPair ReleasedNPair"),
    ("dim.contrastive.module", "dim.methods.contrastive.module", "DIM"),
    (
        "dim.contrastive.negatives",
        "dim.methods.contrastive.negatives",
        "MinedNegatives NameNegatives RareWordNegatives",
    ),
    ("dim.datamodule", "dim.training.datamodule", "LinkingDataModule"),
    ("dim.features.blip2", "dim.encoders.blip2", "Blip2Captioner"),
    (
        "dim.features.blip2_lavis",
        "dim.encoders.blip2_lavis",
        "Blip2LavisCaptioner Blip2LavisImageEncoder Blip2LavisTextEncoder",
    ),
    ("dim.features.characters", "dim.encoders.characters", "CharacterEncoder"),
    ("dim.features.clip", "dim.encoders.clip", "OpenClipEncoder"),
    ("dim.features.text", "dim.encoders.text", "TransformersTextEncoder"),
    ("dim.features.tiny", "dim.encoders.tiny", "TinyImageEncoder TinyTextEncoder"),
    ("dim.features.tiny_captioner", "dim.encoders.tiny_captioner", "TinyCaptioner"),
    ("dim.generative.examples", "dim.methods.generative.examples", "NoExamples RandomExamples SimilarExamples"),
    ("dim.generative.language_model", "dim.methods.generative.language_model", "LanguageModel"),
    ("dim.generative.module", "dim.methods.generative.module", "GEMEL"),
    ("dim.saved_run", "dim.training.saved_run", "RunScorer"),
    ("dim.scorer", "dim.training.tie_break", "Popularity"),
)
MOVED = {f"{then}.{name}": f"{now}.{name}" for then, now, names in MODULES for name in names.split()}


def current(name: str) -> str:
    """The full name of a class today; what is no name of a class that moved stays as it is.

    Example:
        >>> current("dim.features.text.TransformersTextEncoder"), current("dim.features.text")
        ('dim.encoders.text.TransformersTextEncoder', 'dim.features.text')
    """
    return MOVED.get(name, name)


def renamed(value: Any) -> Any:
    """A configuration with each class by its name of today, wherever a text is such a name and nothing else."""
    if isinstance(value, str):
        return current(value)
    if isinstance(value, dict):
        return {name: renamed(item) for name, item in value.items()}
    return [renamed(item) for item in value] if isinstance(value, list) else value
