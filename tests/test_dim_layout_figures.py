"""DIM's own layout trains on its images: to the figures of the dataset folder that it was written from."""

import json
from pathlib import Path

import pandas as pd
import pytest
from demo_in_dim_layout import write_as_folder, write_in_dim_layout
from fit_options import NAMES_AND_IMAGES, dim_options

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.errors import ConfigError
from dim.releases.prepare import open_dataset


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    demo_world(folder / "world", num_entities=180, seed=1)
    write_as_folder(Dataset(folder / "world"), folder / "folder")
    write_in_dim_layout(Dataset(folder / "world"), folder / "release")
    return folder


def fit(place: Path, root: Path, run: str, *more: str) -> pd.DataFrame:
    small = ["--data.text_encoder.width", "128", "--model.width", "32", "--model.num_heads", "2"]
    options = ["--data.entity_text", "brief", "--trainer.max_epochs", "2", *small, *more]
    assert main(["fit", *dim_options(root, place / run, *NAMES_AND_IMAGES, *options)]) == 0
    return pd.read_parquet(place / run / "ranks.parquet")


@pytest.fixture(scope="module")
def runs(place: Path) -> dict[str, pd.DataFrame]:
    (place / "release/KVQAimgs").rename(place / "pictures")
    there = ["--data.images", str(place / "pictures")]
    elsewhere = fit(place, place / "release", "elsewhere", *there)
    (place / "pictures").rename(place / "release/KVQAimgs")
    return {
        "folder": fit(place, place / "folder", "folder_run"),
        "release": fit(place, place / "release", "release_run"),
        "elsewhere": elsewhere,
        "text": fit(place, place / "folder", "text_run", "--data.leave_out", "[image, caption]"),
    }


@pytest.mark.parametrize("name", ["release", "elsewhere"])
def test_the_release_trains_to_the_figures_of_the_dataset_folder(runs, place, name):
    wanted, found = runs["folder"], runs[name]
    assert found["gold"].tolist() == wanted["gold"].tolist()
    pd.testing.assert_series_equal(found["rank"], wanted["rank"])
    assert found["top_ids"].map(list).tolist() == wanted["top_ids"].map(list).tolist()
    folders = {"release": "release_run", "elsewhere": "elsewhere"}
    ours, theirs = (json.loads((place / run / "metrics.json").read_text()) for run in (folders[name], "folder_run"))
    assert [ours[key] for key in ("top1", "mrr", "n")] == [theirs[key] for key in ("top1", "mrr", "n")]
    assert ours["missing_images"]["mention"] == theirs["missing_images"]["mention"]


def test_the_images_are_part_of_these_figures(runs):
    assert runs["text"]["rank"].tolist() != runs["folder"]["rank"].tolist()


def test_a_run_on_a_release_is_evaluated_again_with_its_images(runs, place):
    (place / "release/KVQAimgs").rename(place / "pictures")
    try:
        before = json.loads((place / "elsewhere/metrics.json").read_text())
        assert main(["validate", "--config", str(place / "elsewhere/config.yaml"), "--overwrite", "true"]) == 0
        assert json.loads((place / "elsewhere/metrics.json").read_text())["mrr"] == before["mrr"]
    finally:
        (place / "pictures").rename(place / "release/KVQAimgs")


def test_a_dataset_folder_says_itself_where_its_images_are(place):
    with pytest.raises(ConfigError, match="which says itself where its images are"):
        open_dataset(place / "folder", place / "cache", place / "pictures")
