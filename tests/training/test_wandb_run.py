"""Weights & Biases, offline and without an account: what stands in its folders."""

import json
from pathlib import Path

import pytest
import wandb
import yaml
from pytorch_lightning.loggers import WandbLogger
from tiny_fit import tiny_options, tiny_world
from waiting import wait_until
from wandb.proto import wandb_internal_pb2

from dim.__main__ import main
from dim.training.wandb_run import WandbRun, begin_wandb, follow_run


@pytest.fixture(autouse=True)
def no_account(monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tiny_world(tmp_path_factory)


def options(world, run, *more):
    return tiny_options(world, run, "--trainer.logger", "WandbRun", *more)


def records_of(path):
    """The records of a .wandb file: LevelDB's log format after 7 bytes, a long record in pieces."""
    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        room = 32768 - place % 32768
        if room < 7:
            place += room
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def runs_in(path):
    return [record.run for record in records_of(path) if record.WhichOneof("record_type") == "run"]


def offline_runs(run):
    """The run that each offline folder speaks of, oldest first."""
    folders = sorted((run / "wandb").glob("offline-run-*"), key=lambda folder: folder.stat().st_mtime_ns)
    paths = [path for folder in folders for path in folder.glob("run-*.wandb")]
    for path in paths:
        wait_until(lambda path=path: runs_in(path))  # another process writes it, to its end after the command's
    return [runs_in(path)[0] for path in paths]


def test_name_group_and_job_come_from_run_and_seed_and_later_commands_go_on_in_the_run_of_fit(world, tmp_path):
    run = tmp_path / "texts" / "seed3"
    assert main(["fit", *options(world, run, "--seed_everything", "3")]) == 0
    config = str(run / "config.yaml")
    assert main(["test", "--config", config]) == 0
    assert main(["validate", "--config", config]) == 0
    assert main(["fit", "--config", config, "--ckpt_path", "last", "--trainer.max_epochs", "2"]) == 0
    records = offline_runs(run)
    known = json.loads((run / "wandb.json").read_text())["id"]
    assert [record.run_id for record in records] == [known] * 4
    assert {(r.display_name, r.run_group, r.job_type, r.project) for r in records} == {
        ("texts/seed3", "texts", "fit", "dim")
    }


def test_a_new_run_in_the_place_of_an_old_one_has_an_id_of_its_own_and_the_old_logs_stay(world, tmp_path):
    run = tmp_path / "run"
    assert main(["fit", *options(world, run)]) == 0
    assert main(["fit", *options(world, run, "--overwrite", "true")]) == 0
    first, second = offline_runs(run)
    assert first.run_id != second.run_id
    assert json.loads((run / "wandb.json").read_text())["id"] == second.run_id


def test_what_the_user_names_stays(world, tmp_path):
    run = tmp_path / "run"
    names = ["--trainer.logger.name", "mine", "--trainer.logger.id", "abc123"]
    assert main(["fit", *options(world, run, *names)]) == 0
    (record,) = offline_runs(run)
    assert (record.display_name, record.run_id) == ("mine", "abc123")


@pytest.mark.parametrize("wrong", [["--data.root", "nowhere"], ["--model.mention_fields", "[mention, smell]"]])
def test_a_failed_start_leaves_none(world, tmp_path, wrong):
    assert main(["fit", *options(world, tmp_path / "run", *wrong)]) == 1
    assert not list(tmp_path.rglob("*wandb*"))


@pytest.mark.parametrize(
    ("name", "value", "offline", "found"),
    [("WANDB_API_KEY", "short", "false", "API key must have"), ("WANDB_SILENT", "", "true", "valid boolean")],
)
def test_what_cannot_be_started_is_said_and_leaves_no_run(
    world, tmp_path, monkeypatch, capsys, name, value, offline, found
):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    wandb.teardown()  # the library reads the environment once
    run = tmp_path / "run"
    assert main(["fit", *options(world, run, "--trainer.logger.offline", offline)]) == 1
    err = capsys.readouterr().err
    assert "expected a run that Weights & Biases can start\nfound" in err
    assert found in err
    assert "wandb login" in err
    assert not (run / "config.yaml").exists()
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()
    assert main(["fit", *options(world, run)]) == 0


def test_a_run_that_was_fitted_without_is_evaluated_in_one_of_its_own(world, tmp_path):
    run = tmp_path / "run"
    assert main(["fit", *tiny_options(world, run)]) == 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["trainer"]["logger"] is False
    assert main(["test", *options(world, run)]) == 0
    (record,) = offline_runs(run)
    assert (record.display_name, record.job_type) == ("run/seed0", "test")


def test_a_run_decides_neither_where_its_figures_go_nor_what_is_read_of_other_folders(tmp_path: Path) -> None:
    told = {"base_url": "http://elsewhere.invalid", "save_code": True, "git_root": "/"}
    for command, kept in (("fit", True), ("test", False)):
        logger = WandbLogger(project="p", offline=True, tags=["a"], settings=wandb.Settings(**told))
        follow_run([logger], tmp_path / "run", tmp_path / "run", 0, command)
        settings = logger._wandb_init["settings"]
        assert logger._wandb_init["tags"] == ["a"]
        assert (settings.git_root == "/", settings.base_url.startswith("http://elsewhere")) == (kept, kept)
        assert bool(settings.disable_git and settings.disable_code) is not kept


@pytest.mark.parametrize("quiet", [None, "false"])
def test_offline_no_summary_is_printed_unless_it_is_asked_for(tmp_path, monkeypatch, capfd, quiet):
    for name in ("WANDB_SILENT", "WANDB_QUIET"):
        monkeypatch.setenv(name, "")  # what is set below is gone after the test
        monkeypatch.delenv(name)
    if quiet:
        monkeypatch.setenv("WANDB_QUIET", quiet)
    monkeypatch.chdir(tmp_path)
    wandb.teardown()  # and reads its variables anew
    run = WandbRun().experiment
    run.log({"a": 1})
    run.finish()
    wandb.teardown()
    said = capfd.readouterr().err
    assert "offline-run" in said
    assert ("Run summary" in said) is (quiet == "false")


def test_the_first_fit_of_a_run_warns_of_no_folder(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_SILENT", "false")
    wandb.teardown()  # and reads its variables anew
    run = tmp_path / "runs" / "first"
    logger = WandbRun()
    follow_run([logger], run, run, 0, "fit")
    begin_wandb([logger])
    logger.experiment.finish()
    wandb.teardown()
    said = capfd.readouterr().err
    assert "offline-run" in said
    assert "WARNING" not in said
