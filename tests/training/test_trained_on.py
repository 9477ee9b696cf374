"""Weights are used on what they were trained on: what was asked for then and is left out now counts, too."""

import shutil
from pathlib import Path

import pytest
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main
from dim.data.dataset import Dataset, write_dataset
from dim.training.run_folder import NEW

#: What a run is fitted with, and what takes it back.
ASKED = {
    "shuffle": ("[text]", "[]"),
    "blank": ("[context]", "[]"),
    "leave_out": ("[context]", "[]"),
    "context_reach": ("5", "auto"),
    "feature_dtype": ("float16", "float32"),
    "name_alone": ("true", "false"),
    "num_images": ("2", "1"),
    "context_template": ("{context}", "{mention} [SEP] {context}"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory)


@pytest.mark.parametrize("option", ASKED)
def test_weights_do_not_pass_where_what_they_were_trained_with_is_left_out(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    run, (asked, not_asked) = tmp_path / "run", ASKED[option]
    assert main(["fit", *tiny_options(world, run, f"--data.{option}", asked)]) == 0
    figures = (run / "metrics.json").read_bytes()
    assert main(["validate", "--config", str(run / "config.yaml"), f"--data.{option}", not_asked]) == 1
    assert f"a checkpoint whose {option} is " in capsys.readouterr().err
    assert main(["fit", *tiny_options(world, run, "--ckpt_path", "last", "--trainer.max_epochs", "2")]) == 1
    assert f"a checkpoint whose {option} is " in capsys.readouterr().err
    assert (run / "metrics.json").read_bytes() == figures


def with_other_contexts(world: Path, place: Path) -> Path:
    """The dataset with other contexts in train, and the same KB."""
    before = Dataset(world)
    is_train = before.mentions["split"] == "train"
    mentions = before.mentions.copy()
    mentions.loc[is_train, ["context", "start", "end"]] = ["At noon nobody came.", None, None]
    texts = {name: before.text_table(name) for name in before.variants}
    write_dataset(place, name=before.name, entities=before.entities, texts=texts, mentions=mentions)
    return place


@pytest.fixture(scope="module")
def other(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_other_contexts(world, tmp_path_factory.mktemp("other") / "world")


def test_a_fit_goes_on_with_the_mentions_that_it_began_with(
    world: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, run = shutil.copytree(world, tmp_path / "world"), tmp_path / "run"
    assert main(["fit", *tiny_options(own, run)]) == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    shutil.rmtree(own)
    shutil.copytree(other, own)  # as `dim prepare` leaves it, of a release that changed
    capsys.readouterr()
    assert main(["fit", *tiny_options(own, run, "--ckpt_path", "last", "--trainer.max_epochs", "2")]) == 1
    assert f"the dataset demo (hash {Dataset(world).hash}) of the run" in (said := capsys.readouterr().err)
    assert "Name the dataset that it began with" in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_one_that_replaces_a_run_goes_on_with_its_own(world: Path, other: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(["fit", *tiny_options(world, run)]) == 0
    assert main(["fit", *tiny_options(other, tmp_path / "new")]) == 0
    shutil.copytree(tmp_path / "new", run / NEW)
    more = ["--ckpt_path", "last", "--trainer.max_epochs", "2"]
    assert main(["fit", *tiny_options(world, run, *more)]) == 1
    assert main(["fit", *tiny_options(other, run, *more)]) == 0
    assert not (run / NEW).exists()


def test_weights_of_a_text_that_a_user_changed_since_are_refused(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, run = shutil.copytree(world, tmp_path / "world"), tmp_path / "run"
    assert main(["fit", *tiny_options(own, run)]) == 0
    Dataset(own).text_table("refreshed").assign(text="mine").to_parquet(own / "texts/refreshed.parquet", index=False)
    capsys.readouterr()
    assert main(["validate", "--config", str(run / "config.yaml")]) == 1
    assert "a checkpoint whose text_hash is " in capsys.readouterr().err
