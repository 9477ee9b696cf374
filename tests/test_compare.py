"""`dim compare` through the real command: runs, resumes, skips, and names what fails."""

import json
import sys

import pytest

from dim.__main__ import main
from dim.cli.compare import Experiment, fit
from dim.demo import demo_world

CONFIG = """
data:
  root: {root}
  cache_dir: {cache}
  text_encoder: TinyTextEncoder
  num_workers: 0
  entity_text: brief
model:
  class_path: DIM
  init_args: {{width: 32, warmup_steps: 2}}
trainer:
  accelerator: cpu
  max_epochs: 2
  enable_progress_bar: false
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    demo_world(folder / "world", num_entities=300, seed=1)
    text = CONFIG.format(root=folder / "world", cache=folder / "cache")
    (folder / "brief.yaml").write_text(text)
    (folder / "ablations").mkdir()
    (folder / "ablations" / "refreshed.yaml").write_text("data:\n  entity_text: refreshed\n")
    return folder


def compare(place, *more):
    configs = [str(place / "brief.yaml"), str(place / "brief.yaml") + "+refreshed"]
    return main(["compare", *configs, "--runs", str(place / "runs"), "--seeds", "1", *more])


@pytest.mark.long
def test_all_runs_are_made_once_resumed_where_they_broke_off_and_reported(place, capfd):
    assert compare(place) == 0
    shown = capfd.readouterr().out
    assert "1 of 2" in shown
    assert shown.count("(new)") == 2
    assert "brief+refreshed" in shown
    runs = place / "runs"
    finished = {path: path.stat().st_mtime_ns for path in runs.glob("*/*/metrics.json")}
    assert {json.loads(path.read_text())["features"]["entity_text"] for path in finished} == {"brief", "refreshed"}
    (runs / "brief" / "seed0" / "metrics.json").unlink()  # as if killed before its evaluation
    assert compare(place) == 0
    shown = capfd.readouterr().out
    assert [shown.count(f"({state})") for state in ("finished", "unfinished", "new")] == [1, 1, 0]
    kept = [path for path, time in finished.items() if path.stat().st_mtime_ns == time]
    assert [path.parent.parent.name for path in kept] == ["brief+refreshed"]


def test_no_module_of_the_folder_that_it_is_called_in_is_imported(tmp_path, monkeypatch):
    module = "from pathlib import Path\nPath(__file__).with_name('imported').touch()\nraise SystemExit(0)\n"
    (tmp_path / "yaml.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])  # as the command `dim` has it
    assert not fit(Experiment(("none.yaml",), 0, tmp_path / "run", ()), resume=False)
    assert not (tmp_path / "imported").exists()


@pytest.mark.long
def test_another_experiment_in_the_folder_is_not_mixed_in(place, capfd):
    assert compare(place) == 0
    capfd.readouterr()
    assert compare(place, "--options", "--trainer.max_epochs 1") == 1
    assert "Name another folder with --runs" in capfd.readouterr().err


def test_a_run_that_fails_is_named_the_others_are_reported_and_it_is_no_success(place, capfd, monkeypatch):
    def in_this_process(experiment, resume):  # without the imports of each
        return main(["fit", *experiment.arguments, "--overwrite=true"]) == 0

    monkeypatch.setattr("dim.cli.compare.fit", in_this_process)
    (place / "ablations" / "broken.yaml").write_text("data:\n  entity_text: nothing\n")
    configs = [str(place / "brief.yaml") + "+broken", str(place / "brief.yaml")]
    assert main(["compare", *configs, "--runs", str(place / "some"), "--seeds", "1"]) == 1
    shown = capfd.readouterr()
    broken = place / "some" / "brief+broken" / "seed0"
    assert f"error: expected 2 runs that finish\nfound    1 that failed: {broken}\n" in shown.err
    table = "".join(shown.out.partition("failed: ")[0].rpartition(" runs ")[2].split())
    assert table.count("failed") == table.count("finished") == 1
    assert "failed: python -m dim fit" in shown.out
    assert "an entity text 'nothing'" in shown.err
    assert "some/brief" in shown.out


def test_a_config_that_is_not_there_names_those_that_are(place, capfd):
    assert main(["compare", f"{place / 'brief.yaml'}+refreshd", "--runs", str(place / "x")]) == 1
    assert "refreshed" in capfd.readouterr().err.replace("\n", " ")
    assert not (place / "x").exists()
