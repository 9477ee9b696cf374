"""A small trained run on a demo world with images, for tests of what comes after `fit`; made once a session."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from fit_options import NAMES_AND_IMAGES, dim_options

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.linker import Linker, Question


@cache
def _made(base: Path) -> Path:
    folder = Path(mkdtemp(dir=base))
    demo_world(folder / "world", num_entities=300, seed=1)
    small = ["--data.text_encoder.width", "256", "--model.width", "64", "--model.warmup_steps", "5"]
    options = dim_options(folder / "world", folder / "run", *NAMES_AND_IMAGES, *small, "--trainer.max_epochs", "3")
    assert main(["fit", *options]) == 0
    return folder


def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run; `world` stands beside it. Tests leave both as they are."""
    return _made(tmp_path_factory.getbasetemp()) / "run"


def world_of(run: Path) -> Dataset:
    """The dataset of the run."""
    return Dataset(run.parent / "world")


def questions_of(run: Path, split: str = "dev") -> list[Question]:
    """The mentions of a split, with their images, as a caller would ask them."""
    world = world_of(run)
    return [
        Question(row.mention, row.context or "", str(world.image_root / row.images[0]) if len(row.images) else None)
        for row in world.mentions[world.mentions["split"] == split].itertuples()
    ]


def linker_of(run: Path, trusted: tuple[str, ...] = ()) -> Linker:
    """A linker of the run that may be changed."""
    return Linker.from_checkpoint(run, device="cpu", trusted=trusted)
