"""Embeds a dataset as tests name options: those of `Choices` and those of `embed_dataset` together."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from dim.data.dataset import Dataset
from dim.features.embed import embed_dataset
from dim.features.fields import Choices

CHOICES = {field.name for field in fields(Choices)}


def embedded(dataset: Dataset, cache: Path, **options: Any) -> dict[str, Any]:
    """What `embed_dataset` gives, without processes and without bars, unless options say otherwise."""
    chosen = {name: value for name, value in options.items() if name in CHOICES}
    means = {"num_workers": 0, "progress": False} | {k: v for k, v in options.items() if k not in CHOICES}
    return embed_dataset(dataset, Choices(**chosen), cache_dir=cache, **means)
