"""States in a checkpoint that are not what they should be: refused in words, and not read where nothing trains."""

import copy
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main
from dim.errors import CheckpointError
from dim.evaluation.result_files import BEST
from dim.training.checkpoint import hash_weights, read_checkpoint

LAST = Path("checkpoints") / "last.ckpt"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory)


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs."""
    run = tmp_path_factory.mktemp("fitted") / "run"
    assert main(["fit", *tiny_options(world, run, "--trainer.max_epochs=2")]) == 0
    return run


@pytest.fixture(scope="module")
def saved(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(run / LAST, weights_only=True)
    return found


def at(value: Any, *names: Any) -> Any:
    for name in names:
        value = value[name]
    return value


def put(*names: Any) -> Callable[[dict[str, Any]], None]:
    """Puts the last of `names` in the place that the others name."""
    *path, name, value = names

    def change(checkpoint: dict[str, Any]) -> None:
        at(checkpoint, *path)[name] = value

    return change


EPOCHS = ("loops", "fit_loop", "epoch_progress")
GROUP = ("optimizer_states", 0, "param_groups", 0)
STATE = ("optimizer_states", 0, "state")


def of_callback(begins: str, name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Changes a state of the callback whose key begins so."""

    def change(checkpoint: dict[str, Any]) -> None:
        states = checkpoint["callbacks"]
        states[next(key for key in states if key.startswith(begins))][name] = value

    return change


of_early = partial(of_callback, "EarlyStopping")
of_best = partial(of_callback, "ModelCheckpoint{'monitor': 'tune/mrr'")


#: What is changed, and what is said of it.
WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no loops": (lambda checkpoint: checkpoint.pop("loops"), "loops: nothing in the place of a mapping"),
    "an old version": (put("pytorch-lightning_version", "1.4.0"), "'1.4.0' in the place of 2 or later"),
    "no loop of fit": (put("loops", {}), "loops.fit_loop: None in the place of a mapping"),
    "a text as epoch": (put(*EPOCHS, "current", "completed", "1"), "completed: '1' in the place of a whole number"),
    "fewer than no epochs": (put(*EPOCHS, "current", "completed", -9), "completed: -9 in the place of a number"),
    "very many epochs": (put(*EPOCHS, "total", "ready", 10**30), "ready: a value of type int in the place of a number"),
    "a method's name": (put(*EPOCHS, "total", "increment_by", 3), "total: 'increment_by' in the place of names"),
    "half a progress": (put(*EPOCHS, {}), "KeyError: 'total'"),
    "a text as patience": (of_early("patience", "x"), "patience: 'x' in the place of a whole number"),
    "an unknown reason": (of_early("stopping_reason", 99), "ValueError: 99 is not a valid"),
    "a place to remove": (of_best("kth_best_model_path", ".."), "'..' in the place of paths of .ckpt files"),
    "another such place": (of_best("last_model_path", "/x/.."), "'/x/..' in the place of paths of .ckpt files"),
    "another file": (of_best("kth_best_model_path", "x.ckpt"), "'x.ckpt' in the place of one of best_k_models"),
    "a text as score": (of_best("best_k_models", {"a.ckpt": "3"}), "best_k_models: '3' in the place of a tensor"),
    "a number as path": (of_best("best_model_path", 3), "best_model_path: 3 in the place of a text"),
    "no optimizer": (put("optimizer_states", []), "optimizer_states: a list of 0 in the place of a list of 1"),
    "no rate": (lambda checkpoint: at(checkpoint, *GROUP).pop("lr"), "lr: nothing in the place of a value"),
    "a text as rate": (put(*GROUP, "lr", "0.1"), "lr: '0.1' in the place of a finite number"),
    "a beta of 1": (put(*GROUP, "betas", [1.0, 0.9]), "betas: 1.0 in the place of numbers from 0 and below 1"),
    "another form": (put(*GROUP, "amsgrad", True), "amsgrad: True in the place of False"),
    "another parameter": (put(*STATE, 10**6, {}), "1000000 in the place of names"),
    "no mean": (lambda checkpoint: at(checkpoint, *STATE, 0).pop("exp_avg"), "exp_avg: nothing in the place of"),
    "a mean of one number": (put(*STATE, 0, "exp_avg", torch.tensor(1.0)), "exp_avg: [] in the place of a tensor ["),
    "a step below 0": (put(*STATE, 0, "step", torch.tensor(-1.0)), "step: a value of type Tensor in the place of"),
    "a text as last step": (put("lr_schedulers", 0, "last_epoch", "9"), "last_epoch: '9' in the place of a whole"),
    "a function's name": (put("lr_schedulers", 0, "step", 3), "'step' in the place of names"),
    "a lambda": (put("lr_schedulers", 0, "lr_lambdas", ["x", "y"]), "ValueError: "),
}
#: Each of what Lightning reads, in the place of it.
WHOLE = {
    f"{value!r} as {name}": (put(name, value), f"found {name}: ")
    for name in ("loops", "callbacks", "optimizer_states", "lr_schedulers", "pytorch-lightning_version")
    for value in (None, "text", -1, 10**30)
}


#: In make test: what is missing, of another type, out of range, a name of Lightning's own, and what only loading finds.
QUICK = ("no loops", "an old version", "a text as epoch", "very many epochs", "a method's name", "half a progress",
         "an unknown reason", "a place to remove", "another file", "no optimizer", "a beta of 1", "no mean",
         "a function's name", "a lambda")  # fmt: skip


@pytest.mark.parametrize("how", [pytest.param(x, marks=[pytest.mark.long] * (x not in QUICK)) for x in WRONG | WHOLE])
def test_training_goes_on_from_no_states_but_those_that_fit(
    world: Path, run: Path, saved: dict[str, Any], tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    again = shutil.copytree(run, tmp_path / "run")
    changed = copy.deepcopy(saved)
    change, found = (WRONG | WHOLE)[how]
    change(changed)
    torch.save(changed, again / LAST)
    assert main(["fit", *tiny_options(world, again, "--trainer.max_epochs=3", "--ckpt_path=last")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"error: expected a checkpoint that dim fit wrote at {again / LAST}" in said
    assert found in said
    assert (again / LAST).exists()


def test_whoever_trains_nothing_gets_nothing_but_the_weights(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = shutil.copytree(run, tmp_path / "run")
    saved = torch.load(run / BEST, weights_only=True)
    junk = dict.fromkeys(("loops", "callbacks", "optimizer_states", "lr_schedulers", "native_amp_scaling_state"), "x")
    torch.save(saved | junk | {"pytorch-lightning_version": "x", "LinkingDataModule": 3}, again / BEST)
    before = (run / "metrics.json").read_bytes()
    assert main(["validate", "--config", str(again / "config.yaml")]) == 0
    assert hash_weights(saved["state_dict"]) in (again / "metrics.json").read_text()
    assert main(["export", str(again), str(tmp_path / "linker"), "--verify", "false"]) == 0
    assert (run / "metrics.json").read_bytes() == before


def places_in(value: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a checkpoint beside the weights."""
    if prefix:
        yield prefix
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if name != "state_dict" or prefix:
            yield from places_in(item, (*prefix, name))


VALUES = [None, True, -1, 10**30, 0.5, float("nan"), "text", "..", [], [1], {}, {"a": 1}, torch.ones(2), torch.ones(())]


@pytest.mark.long
def test_whatever_stands_in_a_checkpoint_training_goes_on_or_says_why_not(
    world: Path, run: Path, saved: dict[str, Any], tmp_path: Path
) -> None:
    places = list(places_in(saved))
    number = 0

    @settings(max_examples=150, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(places), st.sampled_from(range(len(VALUES) + 1)))
    def check(place: tuple[Any, ...], which: int) -> None:
        nonlocal number
        number += 1
        again = shutil.copytree(run, tmp_path / str(number))
        changed = copy.deepcopy(saved)
        owner = changed
        for name in place[:-1]:
            owner = owner[name]
        if which == len(VALUES):
            del owner[place[-1]]
        else:
            owner[place[-1]] = VALUES[which]
        torch.save(changed, again / LAST)
        assert main(["fit", *tiny_options(world, again, "--trainer.max_epochs=3", "--ckpt_path=last")]) in (0, 1)

    check()


@pytest.mark.parametrize("how", ["expanded", "compressed"])
def test_a_checkpoint_that_becomes_more_than_its_file_is_refused(run: Path, tmp_path: Path, how: str) -> None:
    saved = torch.load(run / BEST, weights_only=True)
    path = tmp_path / "wrong.ckpt"
    if how == "expanded":
        saved["state_dict"] = {name: torch.zeros(()).expand(10**6, 10**6) for name in saved["state_dict"]}
    torch.save(saved, path)
    if how == "compressed":
        compress(path)
    with pytest.raises(
        CheckpointError, match="with all its values" if how == "expanded" else "become more than the file"
    ):
        read_checkpoint(path)


def compress(path: Path) -> None:
    """Writes a file's parts anew so that they take less room, with one that takes very little."""
    with zipfile.ZipFile(path) as old:
        parts = {part.filename: old.read(part) for part in old.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in (parts | {"archive/zeros": bytes(2**22)}).items():
            new.writestr(name, data)
