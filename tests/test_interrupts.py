"""Ctrl-C: every command ends with 130, one line that says how to go on with it, and nothing half."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from demo_run import demo_run
from forked_commands import command
from tiny_fit import tiny_options, tiny_world
from waiting import wait_until

from dim.__main__ import TRAINER_COMMANDS, TRAINER_INTERRUPTED, main
from dim.cli.commands import COMMANDS, Command
from dim.linker import Linker


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


def interrupted(args: list[str], place: Path, is_at_work: Callable[[str], bool], number: int = signal.SIGINT) -> str:
    """What a command says that is interrupted when it is at work: with all its processes, as a terminal does it.

    SIGTERM goes to its first process alone.
    """
    log = place / "log"
    with command(args, log) as (pid, wait):
        wait_until(lambda: os.kill(pid, 0) is None and log.exists() and is_at_work(log.read_text()))
        (os.kill if number == signal.SIGTERM else os.killpg)(pid, number)
        assert wait() == 128 + number, log.read_text()
    said = log.read_text()
    assert "Traceback" not in said, said
    log.unlink()
    return said


def last_line(said: str) -> str:
    return said.rstrip().rpartition("\n")[2]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def config_of(world: Path, place: Path, epochs: int = 100_000) -> Path:
    path = place / "tiny.yaml"
    path.write_text(
        f"data:\n  root: {world}\n  cache_dir: {place / 'cache'}\n  text_encoder: TinyTextEncoder\n  num_workers: 0\n"
        "model:\n  class_path: DIM\n  init_args: {width: 16}\n"
        f"trainer:\n  accelerator: cpu\n  max_epochs: {epochs}\n  enable_progress_bar: false\n"
        f"early_stopping:\n  patience: {epochs}\n"
    )
    return path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("name", [*TRAINER_COMMANDS, *COMMANDS])
def test_every_command_says_how_to_go_on(
    name: str, number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import dim.cli.trainer

    monkeypatch.setattr(Command, "run", lambda *_: signal.raise_signal(number))
    monkeypatch.setattr(dim.cli.trainer, "run_trainer", lambda *_: signal.raise_signal(number))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main([name]) == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    said = COMMANDS[name].interrupted if name in COMMANDS else TRAINER_INTERRUPTED[name]
    assert capsys.readouterr().err == f"\ninterrupted: {said}\n"
    assert "the same command" in said


@pytest.mark.long
def test_embed_keeps_finished_blocks_and_its_processes_are_quiet(run: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    args = ["embed", str(run.parent / "world"), f"--cache_dir={tmp_path / 'cache'}", "--num_workers=2"]
    slow = ["--image_encoder=slow_encoders.SlowImageEncoder", f"--image_encoder.pids={pids}", "--batch_size=8"]
    said = interrupted([*args, *slow], tmp_path, lambda _: pids.exists())
    assert last_line(said) == f"interrupted: {COMMANDS['embed'].interrupted}"
    assert not list((tmp_path / "cache").rglob("*.dim-lock"))
    assert main([*args, *slow, "--image_encoder.seconds=0"]) == 0


def test_fit_keeps_the_last_finished_epoch(run: Path, tmp_path: Path) -> None:
    new, config = tmp_path / "run", config_of(run.parent / "world", tmp_path)
    args = ["fit", f"--config={config}", f"--run={new}"]
    said = interrupted(args, tmp_path, lambda _: (new / "checkpoints" / "last.ckpt").exists())
    assert "--ckpt_path last" in last_line(said)
    kept = {path.name for path in (new / "checkpoints").iterdir()} - {"previous.ckpt"}
    assert kept == {"best.ckpt", "last.ckpt"}
    assert main([*args, "--ckpt_path=last", "--trainer.max_epochs=1"]) == 0
    assert not list(tmp_path.rglob("*.dim-*"))


@pytest.mark.parametrize("command", ["fit", pytest.param("validate", marks=pytest.mark.long), "predict"])
def test_ctrl_c_before_the_first_batch_and_again_leaves_all_as_it_was(
    command: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, new = tiny_world(tmp_path_factory), tmp_path / "run"
    options = [command, *tiny_options(world, new)]
    if command != "fit":
        assert main(["fit", *options[1:]]) == 0
    before, handler = contents(tmp_path), signal.getsignal(signal.SIGINT)
    capsys.readouterr()
    assert main([*options, "--trainer.callbacks", "failing.InterruptSetup"]) == 130
    assert last_line(capsys.readouterr().err) == f"interrupted: {TRAINER_INTERRUPTED[command]}"
    assert signal.getsignal(signal.SIGINT) == handler
    assert contents(tmp_path) == before
    assert main(options) == 0


def test_sigterm_ends_validate_at_once_when_all_is_ranked(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(tiny_world(tmp_path_factory), tmp_path / "run")
    assert main(["fit", *options]) == 0
    results = [tmp_path / "run" / name for name in ("metrics.json", "ranks.parquet")]
    before = [path.read_bytes() for path in results]
    capsys.readouterr()
    assert main(["validate", *options, "--trainer.callbacks", "failing.TerminateBesideResult"]) == 143
    out, said = capsys.readouterr()
    assert last_line(said) == f"interrupted: {TRAINER_INTERRUPTED['validate']}"
    assert "full_kb" not in out
    assert [path.read_bytes() for path in results] == before
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.long
def test_rank_keeps_the_folds_that_were_fitted(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    first = copy / "ranker-folds" / "1of2" / "best.ckpt"
    said = interrupted(["rank", f"--run={copy}", "--folds=2"], tmp_path, lambda _: first.exists())
    assert last_line(said) == f"interrupted: {COMMANDS['rank'].interrupted}"
    assert not (copy / "ranked").exists()
    assert not (copy / "ranker" / "ranker.json").exists()


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_compare_ends_with_its_run_and_says_one_way_to_go_on(run: Path, tmp_path: Path, number: int) -> None:
    config = config_of(run.parent / "world", tmp_path)
    args = ["compare", str(config), f"--runs={tmp_path / 'runs'}", "--seeds=2"]
    last = tmp_path / "runs" / "tiny" / "seed0" / "checkpoints" / "last.ckpt"
    said = interrupted(args, tmp_path, lambda _: last.exists(), number)
    assert last_line(said) == f"interrupted: {COMMANDS['compare'].interrupted}"
    assert "2 of 2" not in said


@pytest.mark.parametrize("name", ["demo-world", "demo-lm"])
def test_a_folder_that_was_not_finished_is_not_there(name: str, run: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if name == "demo-world":
        args, begun = ["demo-world", str(place / "new"), "--num_entities=20000"], ""
    else:
        args, begun = ["demo-lm", str(run.parent / "world"), str(place / "new"), "--num_questions=4000"], " steps, "
    said = interrupted(args, tmp_path, lambda log: begun in log and any(place.glob(".new.dim-new-*")))
    assert last_line(said) == "interrupted: nothing was changed; the same command starts anew"
    assert not list(place.iterdir())


def test_serve_answers_and_ends(run: Path, tmp_path: Path) -> None:
    Linker.from_checkpoint(run, device="cpu").save(tmp_path / "linker")
    args = ["serve", f"--model={tmp_path / 'linker'}", "--port=0"]

    def answers(log: str) -> bool:
        address = re.search(r"page: +(\S+)", log)
        with suppress(OSError):
            return address is not None and urlopen(f"{address[1]}health").status == 200
        return False

    said = interrupted(args, tmp_path, answers)
    assert "accepted, and all answered" in said
    assert last_line(said) == f"interrupted: {COMMANDS['serve'].interrupted}"
