"""`dim compare` through the real command: runs, resumes, skips, and names what fails."""

import json
import shutil
import sys

import pytest

from dim.__main__ import main
from dim.cli.checked_lines import first_wrong
from dim.cli.compare import RANKED_BY, Experiment, fit
from dim.cli.compare import compare as compare_runs
from dim.cli.grid import Setting, read_grid, tune_of, tune_table
from dim.demo import demo_world
from dim.display.terminal import Console
from dim.errors import ConfigError, DimError

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
    assert "next:" not in shown
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


@pytest.fixture
def in_this_process(monkeypatch):
    """Without the imports of each."""

    def checked(experiments):
        assert first_wrong([line for experiment in experiments for line in experiment.lines]) is None

    monkeypatch.setattr("dim.cli.compare._ends_well", lambda line: main([*line]) == 0)
    monkeypatch.setattr("dim.reranker.network.LEAST_STEPS", 20)
    monkeypatch.setattr("dim.cli.compare.check", checked)


@pytest.mark.usefixtures("in_this_process")
def test_a_run_that_fails_is_named_the_others_are_reported_and_it_is_no_success(place, capfd):
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


def test_two_configs_of_one_name_are_refused_before_one_replaces_the_other(place, capfd):
    other = place / "other" / "brief.yaml"
    other.parent.mkdir()
    other.write_text((place / "brief.yaml").read_text())
    assert main(["compare", str(place / "brief.yaml"), str(other), "--runs", str(place / "twins")]) == 1
    assert "configs with a name each" in capfd.readouterr().err
    assert not (place / "twins").exists()


@pytest.mark.usefixtures("in_this_process")
def test_each_run_is_ranked_once_where_that_is_asked_and_the_report_has_both(place, capfd):
    folder = place / "with_rankers"
    command = ["compare", str(place / "brief.yaml"), "--runs", str(folder), "--seeds", "1"]
    assert main(command) == 0
    shown = capfd.readouterr().out
    assert "DIM + ranker" not in shown
    ranking = ["--rank", "true", "--rank_options", "--folds 2 --num_candidates 8"]
    assert main([*command, *ranking]) == 0
    shown = capfd.readouterr().out
    assert "(finished, without its ranker)" in shown
    assert "DIM + ranker" in shown
    assert "next:" not in shown
    ranked = folder / "brief" / "seed0" / "ranked" / "metrics.json"
    made = ranked.stat().st_mtime_ns
    assert main([*command, *ranking]) == 0
    assert "(finished)" in capfd.readouterr().out
    assert ranked.stat().st_mtime_ns == made
    assert main([*command, "--rank", "true"]) == 1
    assert "found    that of ['--folds', '2', '--num_candidates', '8']" in capfd.readouterr().err
    (folder / "brief" / "seed0" / RANKED_BY).unlink()
    assert main([*command, *ranking]) == 1
    assert "found    one that dim compare did not make" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--rank_options", "--folds 2"], "Add --rank true"), (["--rank", "true", "--rank_options", "--out x"], "--out")],
)
def test_options_of_rank_that_it_cannot_use_are_refused(place, capfd, more, message):
    assert main(["compare", str(place / "brief.yaml"), "--runs", str(place / "y"), *more]) == 1
    assert message in capfd.readouterr().err
    assert not (place / "y").exists()


def test_a_config_that_is_not_there_names_those_that_are(place, capfd):
    assert main(["compare", f"{place / 'brief.yaml'}+refreshd", "--runs", str(place / "x")]) == 1
    assert "refreshed" in capfd.readouterr().err.replace("\n", " ")
    assert not (place / "x").exists()


GRID = """
model.width: [16, 32]
model.loss: [{class_path: NPair}]
trainer.max_epochs: [1]
"""


def test_a_grid_is_every_combination_or_the_settings_that_are_listed(tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID)
    first, second = read_grid(tmp_path / "grid.yaml")
    assert first.name == "width=16+loss=NPair+max_epochs=1"
    assert second.options == ("--model.width=32", '--model.loss={"class_path": "NPair"}', "--trainer.max_epochs=1")
    listed = "- {data.text_encoder.path: /a/b, data.image_encoder.path: null}\n- {data.shuffle: [text]}\n"
    (tmp_path / "grid.yaml").write_text(listed)
    assert read_grid(tmp_path / "grid.yaml") == [
        Setting(
            "data.text_encoder.path=a_b+data.image_encoder.path=null",
            ("--data.text_encoder.path=/a/b", "--data.image_encoder.path=null"),
        ),
        Setting("shuffle=text", ('--data.shuffle=["text"]',)),
    ]


@pytest.mark.parametrize(
    ("values", "more"),
    [
        (["x/y", "x_y", "x_y-2"], "'x y'"),
        (["/images/of/the/release/of/two/years/ago/a", "/images/of/the/release/of/two/years/ago/b"], "c"),
        (["\U00020000" * 40 + "a", "\U00020000" * 40 + "b"], "c"),
    ],
)
def test_settings_of_like_values_have_folders_of_their_own_which_they_keep(tmp_path, values, more):
    (tmp_path / "grid.yaml").write_text(f"data.images: {json.dumps(values)}\n")
    names = [each.name for each in read_grid(tmp_path / "grid.yaml")]
    assert len(set(names)) == len(values)
    assert all(len(name.encode()) < 200 for name in names)
    (tmp_path / "grid.yaml").write_text(f"data.images: {json.dumps(values)[:-1]}, {more}]\n")
    assert [each.name for each in read_grid(tmp_path / "grid.yaml")][:-1] == names


@pytest.mark.parametrize("text", ["model.width: 3\n", "model.width: []\n", "[]\n", "- {}\n", "3\n", "a: [\n", ""])
def test_what_is_no_grid_is_said(tmp_path, text):
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(DimError, match=r"grid\.yaml"):
        read_grid(tmp_path / "grid.yaml")
    with pytest.raises(ConfigError, match="no such file"):
        read_grid(tmp_path / "other.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.width: [8, 8]", "--model.width=8 twice"),
        ("model.day: [2020-01-01]", r"(?s)of model\.day.*quotes"),
    ],
)
def test_values_that_no_run_can_have_are_said(tmp_path, text, message):
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_grid(tmp_path / "grid.yaml")


def test_an_option_may_stand_there_as_on_the_command_line(tmp_path):
    (tmp_path / "grid.yaml").write_text("--model.width: [8]\n")
    assert read_grid(tmp_path / "grid.yaml") == [Setting("width=8", ("--model.width=8",))]


def test_the_parser_of_fit_says_what_is_wrong_with_an_object(tmp_path):
    (tmp_path / "grid.yaml").write_text("model.loss: [{class_path: NPair, init_args: [1]}]")
    assert [each.name for each in read_grid(tmp_path / "grid.yaml")] == ["loss=NPair"]


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ("seed_everything: [1, 2]", "", r"(?s)without --seed_everything.*in the grid"),
        ("model.width: [8]", "--run elsewhere", r"(?s)without --run.*in --options"),
        ("model.width: [8]", "--model.width=9", r"(?s)--model\.width.*in both"),
    ],
)
def test_an_option_stands_in_one_place(place, tmp_path, grid, options, message):
    # With the seed of an option the runs of all seeds were one, and their spread 0.
    (tmp_path / "grid.yaml").write_text(grid)
    with pytest.raises(ConfigError, match=message):
        compare_runs([str(place / "brief.yaml")], tmp_path / "runs", 2, options, grid=tmp_path / "grid.yaml")
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("in_this_process")
def test_the_settings_of_a_grid_are_runs_of_their_own_and_told_by_tune(place, capfd):
    (place / "grid.yaml").write_text(GRID)
    command = ["compare", str(place / "brief.yaml"), "--runs", str(place / "grid"), "--seeds", "1"]
    command += ["--grid", str(place / "grid.yaml")]
    assert main(command) == 0
    shown = capfd.readouterr().out
    folders = [place / "grid" / f"brief+width={width}+loss=NPair+max_epochs=1" / "seed0" for width in (16, 32)]
    found = {f"{100 * tune_of(folder)['mrr']:.1f}" for folder in folders}
    table = shown.partition("Settings by tune")[2]
    assert all(each in table for each in (*found, "width=16", "width=32"))
    assert tune_of(place) == {}
    long = shutil.copytree(folders[0].parent, place / f"{'width=16+' * 10}loss=NPair")  # names differ in their ends
    Console(width=80).print(tune_table([long]))
    assert "=NPair" in capfd.readouterr().out


def test_settings_stand_by_their_mean_on_tune_the_best_first_at_the_epoch_that_was_kept(tmp_path):
    for setting, of_seeds in {"a": (0.50, 0.64), "b": (0.60,), "c": (0.4, 0.5)}.items():
        for seed, mrr in enumerate(of_seeds):
            log = tmp_path / setting / f"seed{seed}" / "logs" / "version_0" / "metrics.csv"
            log.parent.mkdir(parents=True)
            lines = ["epoch,tune/mrr,tune/top1", "0,0.9,0.9", "0,,", f"1,{mrr},{mrr / 2}", "2,0.1,0.1"]
            log.write_text("\n".join(lines) + "\n")
            entry = {"checkpoint": {"epoch": 2}}  # the second; the log counts from 0
            document = {"results": {"dev": {"full_kb": entry}}}
            (tmp_path / setting / f"seed{seed}" / "metrics.json").write_text(json.dumps(document))
    table = tune_table([tmp_path / name for name in "cab"])
    rows = [[str(cell) for cell in column.cells] for column in table.columns]
    assert rows == [
        ["b", "a", "c"],
        ["60.0", "57.0 ± 9.9", "45.0 ± 7.1"],
        ["30.0", "28.5 ± 4.9", "22.5 ± 3.5"],
        ["1", "2", "2"],
    ]


def test_lines_are_read_and_not_run(place, capfd):
    line = ["fit", f"--config={place / 'brief.yaml'}", f"--run={place / 'nothing'}"]
    assert first_wrong([line, [*line, "--model.width=16"]]) is None
    assert first_wrong([line, [*line, "--model.width=wide"]]) == 1
    shown = capfd.readouterr()
    assert "wide" in shown.err
    assert first_wrong([line, ["rank", f"--run={place / 'nothing'}", "--folds=2"]]) is None
    assert first_wrong([line, ["rank", f"--run={place / 'nothing'}", "--flods=2"]]) == 1
    assert "--folds" in capfd.readouterr().err
    assert not shown.out
    assert not (place / "nothing").exists()


@pytest.mark.long
def test_a_wrong_line_stops_it_before_anything_is_run(place, capfd):
    (place / "wrong.yaml").write_text("model.width: [16, wide]\n")
    command = ["compare", str(place / "brief.yaml"), "--runs", str(place / "none"), "--seeds", "2"]
    assert main([*command, "--grid", str(place / "wrong.yaml")]) == 1
    shown = capfd.readouterr()
    assert "wide" in shown.err.partition("Nothing was run")[0]
    assert "width=wide/seed0" in shown.err
    assert not (place / "none").exists()
