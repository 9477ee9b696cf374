"""A run is used from anywhere, renamed, and with its dataset moved; what is gone is named with the option for it."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from fit_options import dim_options

from dim.__main__ import main
from dim.cli.rank import rank
from dim.data.dataset import write_dataset
from dim.demo import demo_world
from dim.errors import ConfigError, DataError
from dim.evaluation.result_files import read_results
from dim.inference.places import check_places, read_config, record_places
from dim.linker import Linker
from dim.linker.opening import open_linker
from dim.training.saved_run import open_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project where a run was fitted with relative paths."""
    project = tmp_path_factory.mktemp("made") / "project"
    demo_world(project / "world", num_entities=150, seed=1)
    before = Path.cwd()
    os.chdir(project)
    try:
        chosen = ["--data.name_encoder", "CharacterEncoder", "--model.width", "32", "--model.warmup_steps", "2"]
        options = dim_options(Path("world"), Path("runs/a"), *chosen, "--trainer.max_epochs", "1")
        assert main(["fit", *options]) == 0
    finally:
        os.chdir(before)
    return project


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of the project that may be changed; the original is out of sight, the working directory is elsewhere."""
    hidden = made.rename(made.with_name("hidden"))
    copy = shutil.copytree(hidden, made)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    yield copy
    shutil.rmtree(made, ignore_errors=True)
    hidden.rename(made)


def figures(run, split="dev"):
    return read_results(run).entry(split)["mrr"]


def use(run):
    """By the trainer's commands, which parse config.yaml, and by those that open the run."""
    assert main(["test", "--config", str(run / "config.yaml")]) == 0
    assert main(["export", str(run), "linker"]) == 0
    assert main(["report", str(run), "--out", "report.html", "--rounds", "100"]) == 0
    assert "cannot be shown: " not in Path("report.html").read_text()


@pytest.mark.long
def test_a_run_is_used_from_another_working_directory(project):
    run = project / "runs" / "a"
    before = figures(run)
    use(run)
    assert main(["predict", "--config", str(run / "config.yaml")]) == 0
    assert main(["link", "--model", str(run), "--mention", "Bardini"]) == 0
    assert main(["rank", "--run", str(run), "--folds", "2", "--out", "ranked"]) == 0
    mention = read_results(run).ranks("dev", "full_kb")["mention_id"].iloc[0]
    assert main(["show", mention, str(project / "world"), "--run", str(run)]) == 0
    assert main(["validate", "--config", str(run / "config.yaml")]) == 0
    assert figures(run) == pytest.approx(before)
    assert sorted(path.name for path in Path.cwd().iterdir()) == [
        "linker",
        "ranked",
        "report.html",
    ]  # no cache, no run of its own


@pytest.mark.long
def test_a_run_that_was_renamed_is_used_where_it_is(project):
    run = (project / "runs" / "a").rename(project / "renamed")
    use(run)
    assert not (project / "runs" / "a").exists()
    assert set(read_results(run).splits) == {"dev", "test"}


@pytest.mark.long
def test_run_and_dataset_move_together(project):
    moved = project.rename(project.with_name("moved"))
    try:
        assert read_config(moved / "runs" / "a")["data"]["root"] == str(moved / "world")
        use(moved / "runs" / "a")
    finally:
        shutil.rmtree(moved)


def test_a_copy_beside_the_original_uses_its_own_dataset(project):
    copy = shutil.copytree(project, project.with_name("copy"))
    try:
        assert open_run(copy / "runs" / "a", "cpu").data.dataset.root == copy / "world"
    finally:
        shutil.rmtree(copy)


@pytest.mark.parametrize("command", ["test", "link", "export", "rank", "serve"])
def test_a_dataset_that_moved_alone_is_named_with_the_option_that_says_where_it_is(project, command, capsys):
    run = project / "runs" / "a"
    (project / "world").rename(project / "moved")
    demo_world(Path("world"), num_entities=100, seed=2)  # of the same name, where the commands are called from
    arguments = {
        "test": ["test", "--config", str(run / "config.yaml")],
        "link": ["link", "--model", str(run), "--mention", "Bardini"],
        "export": ["export", str(run), "linker", "--verify", "false"],
        "rank": ["rank", "--run", str(run), "--folds", "2"],
        "serve": ["serve", "--model", str(run), "--port", "0"],
    }[command]
    capsys.readouterr()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "the dataset demo (hash " in error
    assert f"nothing at {project / 'world'}" in error
    assert "say where it is now: --dataset FOLDER" in error
    assert "unpack" not in error
    if command == "serve":
        return  # it would serve; opening is what link does
    assert main([*arguments, "--dataset", "world"]) == 1
    assert "the dataset demo (hash " in capsys.readouterr().err
    if command != "rank":  # it takes long, and opens the run as the others do
        assert main([*arguments, "--dataset", str(project / "moved")]) == 0


def test_a_report_shows_the_mistakes_of_a_dataset_that_moved(project):
    run = project / "runs" / "a"
    (project / "world").rename(project / "moved")
    arguments = ["report", str(run), "--out", "report.html", "--rounds", "100"]
    assert main(arguments) == 0
    assert "If it has moved: --dataset FOLDER" in Path("report.html").read_text()
    assert main([*arguments, "--dataset", str(project / "moved")]) == 0
    assert "cannot be shown: " not in Path("report.html").read_text()


def test_data_root_says_it_too_and_test_refuses_another_dataset(project, capsys):
    run = project / "runs" / "a"
    arguments = ["test", "--config", str(run / "config.yaml"), "--data.root"]
    (project / "world").rename(project / "moved")
    assert main([*arguments, str(project / "moved")]) == 0
    assert main([*arguments, "nowhere"]) == 1
    assert f"nothing at {Path('nowhere').absolute()}\n" in capsys.readouterr().err
    other = demo_world(project / "other", num_entities=150, seed=1)
    mentions = other.mentions.iloc[:-1]
    mentions.to_parquet(project / "other" / "mentions.parquet")
    document = json.loads((project / "other" / "dataset.json").read_text())
    (project / "other" / "dataset.json").write_text(json.dumps(document | {"hash": "another"}))
    assert main([*arguments, str(project / "other")]) == 1
    assert "--run NEW --ckpt_path" in capsys.readouterr().err


def test_a_run_whose_encoder_is_trained_misses_no_cache(project, capsys):
    shutil.rmtree(project / "cache")
    config = read_config(project / "runs" / "a")
    told = []
    for train in ("frozen", "full"):
        config["data"]["text_encoder"]["init_args"]["train"] = train
        check_places(project / "runs" / "a", config, "--dataset")
        told.append("any more" in capsys.readouterr().err)
    assert told == [True, False]


def test_a_cache_that_is_gone_is_made_where_it_was_and_said(project, capsys):
    shutil.rmtree(project / "cache")
    capsys.readouterr()
    assert main(["link", "--model", str(project / "runs" / "a"), "--mention", "Bardini"]) == 0
    assert f"is not at {project / 'cache'} any more" in capsys.readouterr().err
    assert (project / "cache").exists()
    assert not Path("cache").exists()


def test_an_encoder_s_files_move_along_and_are_named_when_they_are_gone(tmp_path, monkeypatch):
    old = tmp_path / "old"
    dataset = write_dataset(
        old / "data",
        name="d",
        entities=pd.DataFrame({"id": ["e"], "name": ["Ann"]}),
        texts={},
        mentions=pd.DataFrame({"id": ["m"], "mention": ["Ann"], "context": [""], "entity_id": ["e"]}),
    )
    for name in ("bert", "cache", "runs/a"):
        (old / name).mkdir(parents=True)
    monkeypatch.chdir(old)
    config = {
        "data": {
            "root": "data",
            "cache_dir": "cache",
            "entity_text": "bert",  # a word, though a folder has its name
            "text_encoder": {"class_path": "TransformersTextEncoder", "init_args": {"path": "bert"}},
            "image_encoder": {"class_path": "OpenClipEncoder", "init_args": {"pretrained": "openai"}},
        },
        "model": {"class_path": "DIM"},
    }
    Path("runs/a/config.yaml").write_text(yaml.safe_dump(config))
    record_places(Path("runs/a"), config, dataset)
    assert read_config(Path("runs/a")) == config
    monkeypatch.chdir(tmp_path)
    run = old.rename(tmp_path / "new") / "runs" / "a"
    found = read_config(run)
    assert found["data"]["text_encoder"]["init_args"]["path"] == str(tmp_path / "new" / "bert")
    assert found["data"]["image_encoder"] == config["data"]["image_encoder"]
    assert found["data"]["entity_text"] == "bert"
    check_places(run, found, "--dataset")
    shutil.rmtree(tmp_path / "new" / "bert")
    with pytest.raises(DataError, match=r"the files of data.text_encoder.path of the run[\s\S]*nothing at .*new/bert"):
        check_places(run, read_config(run), "--dataset")


def test_a_path_that_was_changed_by_hand_counts(project):
    run = project / "runs" / "a"
    config = yaml.safe_load((run / "config.yaml").read_text())
    (project / "world").rename(project / "moved")
    config["data"]["root"] = str(project / "moved")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert open_run(run, "cpu").data.dataset.root == project / "moved"


def test_resumed_from_elsewhere_a_run_goes_on_in_its_own_folder(project):
    run = project / "runs" / "a"
    more = ["--ckpt_path", "last", "--trainer.max_epochs", "2"]
    assert main(["fit", "--config", str(run / "config.yaml"), *more]) == 0
    assert list(Path.cwd().iterdir()) == []
    assert read_config(run)["trainer"]["max_epochs"] == 2
    assert open_run(run, "cpu").data.dataset.root == project / "world"


def test_a_linker_s_folder_has_its_kb_in_it(project):
    assert main(["export", str(project / "runs" / "a"), "linker", "--verify", "false"]) == 0
    with pytest.raises(ConfigError, match="a run beside --dataset"):
        open_linker("linker", dataset=project / "world")
    with pytest.raises(DataError, match="--dataset"):
        Linker.from_checkpoint(project / "runs" / "a", dataset=project / "nowhere")
    with pytest.raises(DataError, match="--dataset"):
        rank(project / "runs" / "a", dataset=project / "nowhere", out=project / "ranked")
