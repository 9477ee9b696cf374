"""A run that `fit --overwrite` replaces while it is opened is read whole, old or new, or refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_fit import tiny_options, tiny_world

import dim.cli.trainer
from dim.__main__ import main
from dim.errors import DataError
from dim.inference.places import read_config
from dim.linker import Linker
from dim.training.run_folder import NEW, replace_run
from dim.training.saved_run import open_run
from dim.training.task import LinkingTask

DROPOUTS = ("0.1", "0.2")  #: Of runs of one shape and seed: weights of one would be taken beside options of the other.


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory)


@pytest.fixture(scope="module")
def fitted(world: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in their dropout."""
    runs = [tmp_path_factory.mktemp("fitted") / f"dropout{value}" for value in DROPOUTS]
    for run, value in zip(runs, DROPOUTS, strict=True):
        assert main(["fit", *tiny_options(world, run, "--model.dropout", value)]) == 0
    return runs


@pytest.fixture
def run(fitted: list[Path], tmp_path: Path) -> Path:
    return shutil.copytree(fitted[0], tmp_path / "run")


def replaced(run: Path, other: Path) -> None:
    shutil.copytree(other, run / NEW)
    replace_run(run)


def replacing(monkeypatch: pytest.MonkeyPatch, run: Path, fitted: list[Path], times: float) -> Callable[[], int]:
    """Has the run replaced, so many times, whenever its weights are about to be read; gives how often that was."""
    open_for_scoring, count = LinkingTask.open_for_scoring, 0

    def meanwhile(task: LinkingTask, *given: object) -> None:
        nonlocal count
        if count < times:
            count += 1
            replaced(run, fitted[count % 2])
        open_for_scoring(task, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(LinkingTask, "open_for_scoring", meanwhile)
    return lambda: count


def weights(run: Path) -> str:
    return str(json.loads((run / "metrics.json").read_text())["checkpoint"]["weights"])


def test_a_run_is_opened_whole(run: Path, fitted: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights(fitted[0]) != weights(fitted[1])
    replacing(monkeypatch, run, fitted, times=1)
    task = open_run(run, "cpu")
    assert task.checkpoint is not None
    assert task.checkpoint["weights"] == weights(fitted[1])
    assert task.dropout == float(DROPOUTS[1])


def test_so_is_its_linker(run: Path, fitted: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = replacing(monkeypatch, run, fitted, times=2)
    linker = Linker.from_checkpoint(run, device="cpu")
    assert asked() == 2
    assert linker.towers.task.checkpoint["weights"] == weights(fitted[0])
    assert linker.about["recipe"]["model"]["init_args"]["dropout"] == float(DROPOUTS[0])


def test_one_that_never_stays_is_refused_by_name(
    run: Path, fitted: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    replacing(monkeypatch, run, fitted, times=1000)
    with pytest.raises(
        DataError, match=r"a run at .*run that stays while it is opened\nfound +another one in its place"
    ):
        Linker.from_checkpoint(run, device="cpu")


def test_a_run_that_is_replaced_once_its_options_were_read_is_not_evaluated(
    world: Path,
    run: Path,
    fitted: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lock = dim.cli.trainer.folder_lock

    def late(*given: str, **more: bool) -> object:
        replaced(run, fitted[1])
        return lock(*given, **more)

    monkeypatch.setattr(dim.cli.trainer, "folder_lock", late)
    assert main(["validate", "--config", str(run / "config.yaml")]) == 1
    assert "another one in its place since its config.yaml was read" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["validate", "--config", str(run / "config.yaml")]) == 0
    assert read_config(run)["model"]["init_args"]["dropout"] == float(DROPOUTS[1])
