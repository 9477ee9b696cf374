"""What stands in a run's folder is never lost to a mistake, and never taken for what it is not."""

import json
import shutil
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from forked_commands import ended
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main
from dim.cli.next_steps import say_next_of_run
from dim.core.locks import folder_lock
from dim.errors import CheckpointError
from dim.linker import Linker
from dim.training.checkpoint import hash_weights
from dim.training.run_folder import NEW, replace_run, settle_run
from dim.training.saved_run import open_run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tiny_world(tmp_path_factory)


@pytest.fixture(scope="module")
def fitted(world, tmp_path_factory):
    run = tmp_path_factory.mktemp("fitted") / "run"
    assert main(["fit", *tiny_options(world, run)]) == 0
    return run


@pytest.fixture
def run(fitted, tmp_path):
    """A finished run that a test may spoil, with a file of the user's own."""
    copy = tmp_path / "run"
    shutil.copytree(fitted, copy)
    (copy / "thesis.txt").write_text("mine")
    return copy


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and NEW not in path.parts
    }


def weights(run: Path, name: str = "best") -> str:
    return hash_weights(torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"])


def metrics_of(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def test_weights_of_spelling_by_scikit_learn_open_as_those_of_today(world, tmp_path):
    run = tmp_path / "run"
    assert main(["fit", *tiny_options(world, run, "--data.name_encoder", "CharacterEncoder")]) == 0
    place = run / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(place, weights_only=True)
    checkpoint["dim"]["name_encoder"] = "characters:1024:2-4:sklearn-1.6.1"
    torch.save(checkpoint, place)
    assert main(["validate", "--config", str(run / "config.yaml")]) == 0


def test_fit_ends_with_what_is_done_next_as_far_as_its_method_can(world, tmp_path, capsys):
    run = tmp_path / "my run"
    assert main(["fit", *tiny_options(world, run)]) == 0
    rank = f"  python -m dim rank --run '{run}'    # learns to weigh names, too"
    export = f"  python -m dim export '{run}' 'linkers/my run'    # its linker, to link and serve with"
    assert capsys.readouterr().out.splitlines()[-3:] == ["next:", rank, export]
    task = open_run(run, "cpu")
    capsys.readouterr()
    say_next_of_run(task, Path("runs/texts/seed3"), {}, is_ranked=True)
    shown = capsys.readouterr().out
    assert "export runs/texts/seed3 linkers/texts_seed3 " in shown  # each seed has a linker of its own
    assert "dim rank" not in shown
    say_next_of_run(task, Path("run"), {}, dataset=Path("moved"))
    assert capsys.readouterr().out.count(" --dataset moved ") == 2
    say_next_of_run(SimpleNamespace(scores_all=True), Path("run"), {})  # of a package whose method has no linker
    assert capsys.readouterr().out == "next:\n  python -m dim rank --run run    # learns to weigh names, too\n"
    say_next_of_run(SimpleNamespace(scores_all=False, scores_given=False), Path("run"), {})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "wrong",
    [
        ["--data.root", "no/such/folder"],
        ["--model.mention_fields", "[mention, smell]"],
        ["--data.batch_size", "1"],
        ["--model.loss", "NPairsLoss"],
        ["--trainer.limit_train_batches", "0.001"],
        ["--ckpt_path", "no/such.ckpt"],
    ],
    ids=lambda wrong: wrong[0],
)
def test_a_mistake_beside_overwrite_costs_nothing(world, run, wrong):
    before = content(run.parent)
    assert main(["fit", *tiny_options(world, run, "--overwrite", "true"), *wrong]) == 1
    assert content(run.parent) == before
    assert not (run / NEW).exists()


def test_a_refused_resume_leaves_the_run_as_it_was(world, run, capsys):
    before = content(run)
    options = ["--ckpt_path", "last", "--data.entity_text", "brief", "--trainer.max_epochs", "2"]
    assert main(["fit", *tiny_options(world, run, *options)]) == 1
    shown = capsys.readouterr()
    assert "a checkpoint whose entity_text is brief" in shown.err
    assert "embedded" not in shown.out + shown.err
    assert content(run) == before


def test_a_new_run_takes_the_place_of_the_old_one_and_of_what_was_derived_from_it(world, run):
    for name in ("ranker", "ranked", "wandb"):
        (run / name).mkdir()
        (run / name / "old.json").write_text("{}")
    old = weights(run)
    options = tiny_options(world, run, "--overwrite", "true", "--seed_everything", "1")
    assert main(["fit", *options]) == 0
    assert weights(run) != old
    assert metrics_of(run)["checkpoint"]["weights"] == weights(run)
    left = {path.name for path in run.iterdir()}
    files = ("config.yaml", "places.json", "checkpoints", "logs", "metrics.json", "ranks.parquet")
    assert left == {*files, "thesis.txt", "wandb"}
    assert not list((run / "logs").glob("version_1"))


def test_a_start_that_ended_before_its_first_epoch_is_no_strangers_folder(world, run, tmp_path):
    left_out = shutil.ignore_patterns("checkpoints", "metrics.json", "*.parquet")
    shutil.copytree(run, tmp_path / "started", ignore=left_out)
    (tmp_path / "started" / "wandb.json").write_text("{}")
    assert {"config.yaml", "logs", "places.json"} <= {path.name for path in (tmp_path / "started").iterdir()}
    for more in ([], ["--overwrite", "true"]):
        shutil.copytree(tmp_path / "started", tmp_path / f"again{len(more)}")
        assert main(["fit", *tiny_options(world, tmp_path / f"again{len(more)}", *more)]) == 0


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert main(["fit", *tiny_options(world, run, "--trainer.max_epochs", "3")]) == 0
    return run


@pytest.mark.parametrize("how", ["Crash", "Interrupt", "Kill"])
def test_a_training_that_ends_early_leaves_the_old_run_and_goes_on(world, run, undisturbed, tmp_path, capsys, how):
    before = content(run)
    options = tiny_options(world, run, "--trainer.max_epochs", "3")
    failing = [*options, "--overwrite", "true", "--trainer.callbacks", f"failing.{how}"]
    if how == "Kill":
        assert ended(["fit", *failing], tmp_path / "log") == -signal.SIGKILL
    elif how == "Interrupt":
        assert main(["fit", *failing]) == 130
    else:
        with pytest.raises(RuntimeError, match="the disk fell out"):
            main(["fit", *failing])
    assert content(run) == before
    assert Linker.from_checkpoint(run, device="cpu").link("Bardini")
    capsys.readouterr()
    assert main(["fit", *options]) == 1
    assert "the unfinished one that was to replace it" in capsys.readouterr().err
    assert main(["fit", *options, "--ckpt_path", "last"]) == 0
    assert not (run / NEW).exists()
    assert weights(run, "last") == weights(undisturbed, "last")
    assert metrics_of(run)["checkpoint"] == metrics_of(undisturbed)["checkpoint"]


def test_a_replacement_that_is_killed_in_its_last_step_is_finished_by_the_next_command(world, run, tmp_path):
    shutil.copytree(run, run / NEW, ignore=shutil.ignore_patterns("thesis.txt"))
    (run / NEW / "config.yaml").write_text("of the new run")
    (run / "ranker").mkdir()
    (run / "ranker" / "ranker.json").write_text("{}")
    whole = tmp_path / "whole"
    shutil.copytree(run, whole)
    replace_run(whole)
    wanted = content(whole)
    assert wanted["config.yaml"] == b"of the new run"
    assert "ranker/ranker.json" not in wanted
    num_steps = 0

    class Killed(BaseException):
        pass

    def step(move, limit):
        def moved(self, target):
            nonlocal num_steps
            if num_steps == limit:
                raise Killed
            num_steps += 1
            return move(self, target)

        return moved

    for limit in range(100):
        num_steps = 0
        place = tmp_path / f"killed{limit}"
        shutil.copytree(run, place)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "replace", step(Path.replace, limit))
            patch.setattr(Path, "rename", step(Path.rename, limit))
            try:
                replace_run(place)
            except Killed:
                pass
            else:
                break
        settle_run(place)
        assert content(place) == (wanted if limit else content(run))
        shutil.rmtree(place)
    assert limit > 8


def test_options_of_one_call_are_not_kept_and_later_commands_take_the_best_checkpoint(world, run, capsys):
    assert main(["fit", *tiny_options(world, run, "--ckpt_path", "last", "--trainer.max_epochs", "2")]) == 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert not {"ckpt_path", "overwrite"} & set(config)
    capsys.readouterr()
    # As an older version left it.
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"ckpt_path": "last", "overwrite": True}))
    assert main(["validate", "--config", str(run / "config.yaml")]) == 0
    assert metrics_of(run)["checkpoint"]["file"] == "checkpoints/best.ckpt"
    epoch = metrics_of(run)["checkpoint"]["epoch"]
    assert f"checkpoint: checkpoints/best.ckpt, epoch {epoch}" in capsys.readouterr().out
    before = content(run)
    assert main(["fit", "--config", str(run / "config.yaml")]) == 1
    assert content(run) == before
    assert main(["validate", "--config", str(run / "config.yaml"), "--ckpt_path", "last"]) == 0
    last = metrics_of(run)["results"]["dev"]["full_kb @ checkpoints/last.ckpt"]
    assert last["checkpoint"]["file"] == "checkpoints/last.ckpt"
    assert metrics_of(run)["checkpoint"]["file"] == "checkpoints/best.ckpt"  # as before: the run's own figures


def test_figures_name_their_checkpoint_by_file_epoch_seed_and_weights(fitted):
    found = metrics_of(fitted)["checkpoint"]
    assert found == {"file": "checkpoints/best.ckpt", "epoch": 1, "seed": 0, "weights": weights(fitted)}


@pytest.mark.parametrize("command", ["fit", "validate"])
def test_weights_of_another_seed_do_not_pass_as_this_runs(world, fitted, run, tmp_path, capsys, command):
    foreign = run / "checkpoints" / "last.ckpt"
    options = ["--seed_everything", "1", "--ckpt_path", str(foreign), "--trainer.max_epochs", "2"]
    assert main([command, *tiny_options(world, tmp_path / "seed1", *options)]) == 1
    error = capsys.readouterr().err
    assert "a checkpoint of seed 0" in error
    assert "--seed_everything 0" in error
    assert not (tmp_path / "seed1").exists()


def test_figures_of_another_runs_checkpoint_name_it_whole(world, fitted, run):
    foreign = fitted / "checkpoints" / "last.ckpt"
    assert main(["validate", *tiny_options(world, run, "--ckpt_path", str(foreign))]) == 0
    assert metrics_of(run)["results"]["dev"][f"full_kb @ {foreign}"]["checkpoint"]["file"] == str(foreign)


def test_a_file_that_is_no_checkpoint_is_named(world, run, capsys):
    (run / "checkpoints" / "last.ckpt").write_bytes(b"not a checkpoint")
    assert main(["validate", *tiny_options(world, run, "--ckpt_path", "last")]) == 1
    assert "a checkpoint that dim fit wrote" in capsys.readouterr().err


def test_a_renamed_run_that_goes_on_keeps_its_best_weights(world, run):
    renamed = run.with_name("renamed")
    run.rename(renamed)
    best = weights(renamed)
    ruined = ["--model.learning_rate", "100", "--ckpt_path", "last", "--trainer.max_epochs", "2"]
    assert main(["fit", *tiny_options(world, renamed, *ruined)]) == 0
    assert weights(renamed, "last") != best
    assert weights(renamed) == best


@pytest.fixture(scope="module")
def ranked(fitted, tmp_path_factory):
    run = tmp_path_factory.mktemp("ranked") / "run"
    shutil.copytree(fitted, run)
    assert main(["rank", "--run", str(run), "--folds", "2", "--num_candidates", "4", "--device", "cpu"]) == 0
    assert main(["predict", "--config", str(run / "config.yaml"), "--data.predict_split", "tune"]) == 0
    return run


def test_what_was_derived_from_a_run_names_its_weights(ranked):
    now = weights(ranked)
    assert json.loads((ranked / "ranker" / "ranker.json").read_text())["weights"] == now
    assert metrics_of(ranked / "ranked")["checkpoint"]["weights"] == now
    assert json.loads((ranked / "predictions" / "tune.json").read_text())["checkpoint"]["weights"] == now
    assert main(["report", str(ranked), str(ranked / "ranked"), "--rounds", "100"]) == 0


@pytest.mark.usefixtures("quick_ranker")
def test_what_was_derived_from_other_weights_is_refused(world, ranked, capsys):
    old = weights(ranked)
    assert main(["fit", *tiny_options(world, ranked, "--ckpt_path", "last", "--trainer.max_epochs", "6")]) == 0
    assert weights(ranked) != old, "six epochs are no better than one: this tests nothing"
    assert not (ranked / "predictions").exists()
    with pytest.raises(CheckpointError, match=f"one of other weights \\({old}\\)"):
        Linker.from_checkpoint(ranked, device="cpu")
    capsys.readouterr()
    assert main(["report", str(ranked), str(ranked / "ranked"), "--rounds", "100"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"its figures are of weights {old}" in shown
    assert main(["rank", "--run", str(ranked), "--folds", "2", "--num_candidates", "4", "--overwrite", "true"]) == 0
    assert Linker.from_checkpoint(ranked, device="cpu").link("Bardini")


def test_results_of_weights_that_changed_since_are_refused(world, run, capsys):
    assert main(["test", "--config", str(run / "config.yaml")]) == 0
    shutil.copy(run / "checkpoints" / "best.ckpt", run / "kept.ckpt")
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    name = next(iter(saved["state_dict"]))
    saved["state_dict"][name] = saved["state_dict"][name] + 1
    torch.save(saved, run / "checkpoints" / "best.ckpt")
    assert main(["report", str(run), "--split", "test", "--rounds", "100"]) == 1
    assert "Run dim test --config" in capsys.readouterr().err
    shutil.copy(run / "kept.ckpt", run / "checkpoints" / "best.ckpt")
    assert main(["report", str(run), "--split", "test", "--rounds", "100"]) == 0


def test_a_second_process_that_writes_a_run_is_refused(world, run, capsys):
    held, done = threading.Event(), threading.Event()

    def hold():
        with folder_lock(run, "dim fit of another"):
            held.set()
            done.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    before = content(run)
    try:
        for command in ("fit", "test", "predict"):
            assert main([command, *tiny_options(world, run, "--overwrite", "true")]) == 1
            assert "dim fit of another" in capsys.readouterr().err
        assert main(["rank", "--run", str(run)]) == 1
        assert "dim fit of another" in capsys.readouterr().err
    finally:
        done.set()
        other.join()
    assert content(run) == before


def test_files_of_a_runs_names_that_no_run_wrote_are_refused(world, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("my: own\n")
    before = content(tmp_path)
    for more in ([], ["--overwrite", "true"]):
        assert main(["fit", *tiny_options(world, tmp_path / "mine", *more)]) == 1
        assert "config.yaml" in capsys.readouterr().err
    assert main(["fit", *tiny_options(world, world)]) == 1
    assert "a dataset" in capsys.readouterr().err
    assert content(tmp_path) == before


def test_ranks_of_a_resumed_run_are_of_its_best_weights(run, world):
    assert main(["fit", *tiny_options(world, run, "--ckpt_path", "last", "--trainer.max_epochs", "2")]) == 0
    one = pd.read_parquet(run / "ranks.parquet")
    assert main(["validate", "--config", str(run / "config.yaml")]) == 0
    pd.testing.assert_frame_equal(one, pd.read_parquet(run / "ranks.parquet"))


def test_a_renamed_run_is_evaluated_where_it_stands_now(run):
    renamed = run.with_name("renamed")
    run.rename(renamed)
    assert main(["test", "--config", str(renamed / "config.yaml")]) == 0
    assert "test" in metrics_of(renamed)["results"]
    assert not run.exists()
