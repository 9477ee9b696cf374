"""Fits of half a second, for tests of what `fit` takes, refuses and leaves: text alone, 180 entities."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from fit_options import dim_options

from dim.demo import demo_world


@cache
def _made(base: Path) -> Path:
    folder = Path(mkdtemp(dir=base))
    demo_world(folder / "world", num_entities=180, seed=1)
    return folder


def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset folder; features are cached beside it."""
    return _made(tmp_path_factory.getbasetemp()) / "world"


def tiny_options(world: Path, run: Path, *more: str) -> list[str]:
    """Options of a fit of one epoch."""
    small = ["--data.text_encoder.width", "64", "--model.width", "32", "--model.num_heads", "2"]
    rate = ["--model.warmup_steps", "2", "--model.learning_rate", "0.003", "--model.schedule", "constant"]
    return dim_options(world, run, *small, *rate, "--trainer.max_epochs", "1", *more)
