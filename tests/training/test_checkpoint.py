"""Checkpoints: written beside their place, and a damaged one costs no run."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main
from dim.cli.compare import Experiment
from dim.errors import CheckpointError
from dim.evaluation.result_files import BEST
from dim.training.checkpoint import hash_weights, read_checkpoint
from dim.training.checkpoint_files import WholeCheckpoints
from dim.training.run_folder import UNFINISHED, is_finished


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory)


def options(world: Path, run: Path, *more: str) -> list[str]:
    return ["fit", *tiny_options(world, run, "--trainer.max_epochs=4", *more)]


@pytest.fixture(scope="module")
def undisturbed(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert main(options(world, run)) == 0
    return run


@pytest.fixture(scope="module")
def broken_off(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose training ended in the fourth epoch: last.ckpt is of the third, previous.ckpt of the second."""
    run = tmp_path_factory.mktemp("broken") / "run"
    with pytest.raises(RuntimeError, match="the disk fell out"):
        main(options(world, run, "--trainer.callbacks=failing.Crash", "--trainer.callbacks.epoch=3"))
    return run


def weights(run: Path, name: str = "last") -> str:
    return hash_weights(read_checkpoint(run / "checkpoints" / f"{name}.ckpt")["state_dict"])


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def zeroed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[: middle - 500] + bytes(1000) + data[middle + 500 :]


def empty(data: bytes) -> bytes:
    return b""


def test_what_an_unfinished_run_keeps_goes_when_it_ends(broken_off: Path, undisturbed: Path) -> None:
    names = {path.name: read_checkpoint(path)["epoch"] for path in (broken_off / "checkpoints").iterdir()}
    assert (names["last.ckpt"], names["previous.ckpt"]) == (2, 1)
    assert (broken_off / UNFINISHED).exists()
    assert {path.name for path in (undisturbed / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert not (undisturbed / UNFINISHED).exists()


@pytest.mark.parametrize(
    "damage", [cut, *(pytest.param(each, marks=pytest.mark.long) for each in (zeroed, empty, None))]
)
def test_a_damaged_last_is_named_and_the_one_before_goes_on(
    world: Path,
    broken_off: Path,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[bytes], bytes] | None,
) -> None:
    run = shutil.copytree(broken_off, tmp_path / "run")
    last = run / "checkpoints" / "last.ckpt"
    if damage is None:
        last.unlink()
    else:
        last.write_bytes(damage(last.read_bytes()))
    assert main(options(world, run, "--ckpt_path=last")) == 0
    said = capsys.readouterr().err
    assert f"note: there is no {last}; " in said if damage is None else f"note: {last} is damaged (" in said
    assert "; training goes on from previous.ckpt, after epoch 2\n" in said
    assert weights(run) == weights(undisturbed)
    assert weights(run, "best") == weights(undisturbed, "best")


def test_a_damaged_file_never_takes_the_place_of_the_one_before(
    world: Path, broken_off: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(broken_off, tmp_path / "run")
    last, previous = (run / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    last.write_bytes(cut(last.read_bytes()))
    saver = WholeCheckpoints()
    saved = saver.load_checkpoint(previous, weights_only=True)
    saver.save_checkpoint(saved | {"epoch": 7}, last)
    assert (read_checkpoint(last)["epoch"], read_checkpoint(previous)["epoch"]) == (7, 1)
    saver.save_checkpoint(saved | {"epoch": 8}, last)
    assert (read_checkpoint(last)["epoch"], read_checkpoint(previous)["epoch"]) == (8, 7)


def test_where_nothing_is_whole_the_file_is_named(
    world: Path, broken_off: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(broken_off, tmp_path / "run")
    (run / "checkpoints" / "previous.ckpt").unlink()
    for name in ("last.ckpt", "best.ckpt"):
        path = run / "checkpoints" / name
        path.write_bytes(cut(path.read_bytes()))
        again = shutil.copytree(run, tmp_path / name)
        best = None if name == "best.ckpt" else read_checkpoint(again / "checkpoints" / "best.ckpt")["epoch"]
        code = main(options(world, again, "--ckpt_path=last", f"--trainer.max_epochs={(best or 0) + 1}"))
        said = capsys.readouterr().err
        if name == "last.ckpt":
            assert code == 0
            assert "training goes on from best.ckpt, after epoch" in said
            assert read_checkpoint(again / "checkpoints" / "last.ckpt")["epoch"] == best  # though none was left to do
        else:
            assert code == 1
            assert f"error: expected a checkpoint that dim fit wrote at {tmp_path / name}" in said
            assert "Name another (--ckpt_path), or fit again." in said


def test_no_checkpoint_passes_through_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from the system's calls: what is written stands beside its place until it is whole."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    path = tmp_path / "new" / "last.ckpt"
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(path.exists()))
    WholeCheckpoints().save_checkpoint({"state_dict": {"a": torch.ones(3)}, "epoch": 0}, path)
    assert read_checkpoint(path)["epoch"] == 0
    assert synced[-2:] == [False, True]  # its content before it has its name, and its name
    assert [each.name for each in path.parent.iterdir()] == ["last.ckpt"]


def test_a_changed_byte_of_the_weights_is_found(undisturbed: Path, tmp_path: Path) -> None:
    content = bytearray((undisturbed / "checkpoints" / "best.ckpt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "best.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the checksum of .* differs"):
        read_checkpoint(tmp_path / "best.ckpt")


#: What a stranger may put into a checkpoint, and what is said of it.
WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no mapping": (lambda saved: [saved], "the whole of it: a list of 1 in the place of a mapping"),
    "no weights": (lambda saved: {**saved, "state_dict": None}, "state_dict: None in the place of a mapping"),
    "no epoch": (lambda saved: {key: saved[key] for key in saved if key != "epoch"}, "epoch: nothing in the place of"),
    "a text as epoch": (lambda saved: {**saved, "epoch": "3"}, "epoch: '3' in the place of a whole number"),
    "a negative epoch": (lambda saved: {**saved, "epoch": -2}, "epoch: -2 in the place of a number of epochs"),
    "a tensor as epoch": (lambda saved: {**saved, "epoch": torch.ones(2)}, "epoch: a value of type Tensor"),
    "a number as weight": (lambda saved: {**saved, "state_dict": {"a": 3}}, "state_dict.a: 3 in the place of a tensor"),
    "a sparse weight": (
        lambda saved: {**saved, "state_dict": {"a": torch.eye(2).to_sparse()}},
        "state_dict.a: a value of type Tensor in the place of a tensor with all its values",
    ),
    "a list of dim's": (lambda saved: {**saved, "dim": [1]}, "dim: a list of 1 in the place of a mapping"),
    "a text as seed": (lambda saved: {**saved, "dim": {"seed": "0"}}, "dim.seed: '0' in the place of a whole number"),
    "a number as text": (lambda saved: {**saved, "dim": {"entity_text": 3}}, "dim.entity_text: 3 in the place of"),
    "a tensor as hash": (lambda saved: {**saved, "dim": {"kb_hash": torch.ones(2)}}, "dim.kb_hash: a value of type"),
}


@pytest.mark.parametrize("how", list(WRONG))
def test_what_is_read_of_a_checkpoint_is_of_its_type(undisturbed: Path, tmp_path: Path, how: str) -> None:
    change, said = WRONG[how]
    saved = torch.load(undisturbed / BEST, weights_only=True)
    torch.save(change(saved), tmp_path / "wrong.ckpt")
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(tmp_path / "wrong.ckpt")
    assert said in refused.value.found
    assert str(tmp_path / "wrong.ckpt") in refused.value.expected


@pytest.mark.parametrize("how", ["no weights", "a text as seed", "a tensor as hash"])
def test_a_run_with_such_a_checkpoint_is_refused_in_words(
    undisturbed: Path, tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(undisturbed, tmp_path / "run")
    saved = torch.load(undisturbed / BEST, weights_only=True)
    torch.save(WRONG[how][0](saved), tmp_path / "run" / BEST)
    for command in (
        ["test", "--config", str(tmp_path / "run" / "config.yaml")],
        ["export", str(tmp_path / "run"), "x"],
    ):
        assert main(command) == 1
        assert WRONG[how][1] in capsys.readouterr().err


def test_a_run_that_broke_off_is_not_finished_by_evaluating_it(
    world: Path, broken_off: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(broken_off, tmp_path / "run")
    assert main(["validate", *tiny_options(world, run)]) == 0
    assert (run / "metrics.json").exists()
    assert not is_finished(run)
    experiment = Experiment((), 0, run, ())
    (run / "compare.json").write_text(json.dumps(experiment.arguments))
    assert experiment.state() == "unfinished"
    assert main(["report", str(run)]) == 1
    assert "its training did not end" in " ".join(capsys.readouterr().err.split())
    assert main(options(world, run)) == 1
    assert "an unfinished run\nto do    To go on with it add --ckpt_path last." in capsys.readouterr().err
    assert main(options(world, run, "--ckpt_path=last")) == 0
    assert experiment.state() == "finished"
