"""Images that are gone, in the commands that train and judge."""

import json
import shutil
from pathlib import Path

import pytest
from demo_run import demo_run

from dim.__main__ import main
from dim.data.dataset import Dataset


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A copy of the small run and of its world, whose images the test may spoil."""
    run = demo_run(tmp_path_factory)
    shutil.copytree(run, tmp_path / "run")
    shutil.copytree(run.parent / "world", tmp_path / "world")
    return tmp_path


def validate(place: Path, *more: str) -> int:
    options = ["--run", place / "run", "--data.root", place / "world", "--data.cache_dir", place / "cache", *more]
    return main(["validate", "--config", str(place / "run/config.yaml"), *map(str, options)])


def spoil(place: Path, owner: str, count: int) -> None:
    """Removes images of mentions, or turns those of entities into something else."""
    world = Dataset(place / "world")
    table = world.mentions if owner == "mention" else world.entities
    for images in [images for images in table["images"] if len(images)][:count]:
        if owner == "mention":
            (world.image_root / images[0]).unlink()
        else:
            (world.image_root / images[0]).write_text("<html>not found</html>")


def test_a_few_missing_images_stand_under_the_table_and_in_the_metrics(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(place, "mention", 3)
    spoil(place, "entity", 2)
    assert validate(place) == 0
    found = json.loads((place / "run/metrics.json").read_text())["missing_images"]
    assert (found["mention"]["missing"], found["mention"]["reasons"]) == (3, {"not found": 3})
    assert (found["entity"]["missing"], found["entity"]["reasons"]) == (2, {"unreadable": 2})
    said = f"images: 3 of {found['mention']['named']} mentions that name one have none (3 not found)"
    assert said in " ".join(capsys.readouterr().out.split())


def test_a_folder_that_moved_stops_the_run_and_keeps_its_results(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "world/images").rename(place / "world/pictures")
    before = (place / "run/metrics.json").read_bytes()
    assert validate(place) != 0
    error = capsys.readouterr().err
    assert f"tried {place}/world/images/mentions/" in error
    assert f"There is no folder {place}/world/images: put it back" in error
    assert "--data.max_missing_images 1" in error
    assert (place / "run/metrics.json").read_bytes() == before
