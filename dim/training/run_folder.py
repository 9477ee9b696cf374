"""The folder of a run: who may write it, and how a new run takes the place of an old one.

`fit --overwrite true` trains the new run in `RUN/.new`. The old one stays as it is, and can be used, until the new one
is finished; then all that belonged to the old one goes (its ranker and ranks too: they are of its weights), and the new
one takes its place. Killed while it trains, the old run is untouched, and `--ckpt_path last` goes on with the new one;
killed in the last step, that step is finished by whatever opens the run next. Files that dim did not write stay.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dim.core.files import put_in_place, sync_names, write_json
from dim.core.folder_files import peek_json, read_yaml
from dim.core.locks import folder_lock
from dim.core.output import Kind, check_target
from dim.errors import ConfigError, DataError

NEW = ".new"  #: In a run's folder: the run that will replace it.
_READY, _MOVING, _OLD = ".new-ready", ".new-moving", ".old"  # the steps of the replacement
SEED = re.compile(r"seed\d+")  #: The name of the folder of a run that is one of several seeds.
COMPARED = "compare.json"  #: In a run's folder: the options that `dim compare` started it with.
UNFINISHED = "unfinished.json"  #: In a run's folder while `fit` is at work on it, or where it ended early.
_UNFINISHED = {"what": "being written by dim fit, or left by one that ended early"}
#: What a start leaves that ended before its first epoch; without weights and figures nothing is lost with it.
_STARTED = ("config.yaml", "logs", "places.json", "wandb.json", UNFINISHED)
#: What a run consists of, with what `rank` and `predict` derive from it.
OWN = (
    *("config.yaml", "metrics.json", "ranks.parquet", "checkpoints", "logs", "wandb.json", "places.json"),
    *("predictions", ".predict", "ranker", "ranker-folds", "ranked", UNFINISHED),
    *("cross_encoder", "cross_encoder.partial", "judge", "judged", "answers", "collective"),
)


def is_run(folder: Path) -> bool:
    """Whether a finished or unfinished run stands in a folder."""
    return any((folder / name).exists() for name in ("metrics.json", "checkpoints"))


def is_finished(run: Path) -> bool:
    """Whether `fit` went on to its end there. What is evaluated before says nothing of that."""
    return (run / "metrics.json").exists() and not (run / UNFINISHED).exists()


def can_resume(run: Path) -> bool:
    """Whether there is a checkpoint that `--ckpt_path last` goes on from."""
    return any((run / "checkpoints").glob("*.ckpt"))


def _own_names(folder: Path) -> Iterable[str]:
    started = OWN if _has_begun(folder) else _STARTED if _is_configuration(folder / "config.yaml") else ()
    return (pattern for name in OWN if name not in started for pattern in (name, f"{name}/*"))


def mark_unfinished(folder: Path) -> None:
    """Says of a run that it is not finished, before anything else of it is written."""
    write_json(folder / UNFINISHED, _UNFINISHED)


def _has_begun(folder: Path) -> bool:
    try:
        return bool(peek_json(folder / UNFINISHED, Any) == _UNFINISHED)
    except (OSError, ValueError):
        return False


def _is_configuration(path: Path) -> bool:
    try:
        found = read_yaml(path, dict[str, Any], "a configuration", "Look at it.")
    except DataError:
        return False
    return {"model", "data", "trainer"} <= set(found)


RUN = Kind("a run", is_run, _own_names, stands_beside=True)


def folder_to_fit(run: Path, resumed: bool, overwrite: bool) -> Path:
    """Where `fit` writes: the run's folder, or, where a new run replaces an old one, the folder for it in there.

    Args:
        run: The run's folder, settled.
        resumed: Whether a checkpoint is given to go on from.
        overwrite: Whether an old run may be replaced.

    Raises:
        ConfigError: A run stands there, or files that none wrote.
    """
    new = run / NEW
    if overwrite and is_run(run):
        return new
    if resumed:
        return new if can_resume(new) else run
    if is_run(run):
        finished = is_finished(run)
        replacing = can_resume(new)
        resume = "" if finished and not replacing else "To go on with it add --ckpt_path last. "
        found = "a finished run" if finished else "an unfinished run"
        raise ConfigError(
            f"a folder without a run at --run {run}",
            f"{found}, and the unfinished one that was to replace it" if replacing else found,
            f"{resume}To replace it add --overwrite true; to keep it name another folder.",
        )
    check_target(run, RUN)
    return run


def replace_run(run: Path) -> None:
    """Puts the run of `RUN/.new` in the place of the one in `RUN`. The lock of the folder is held."""
    put_in_place(run / NEW, run / _READY)
    settle_run(run)


def settle_run(run: Path) -> None:
    """Finishes a replacement that was killed in its last step; does nothing otherwise."""
    ready, moving, old = run / _READY, run / _MOVING, run / _OLD
    if not ready.exists() and not moving.exists() and not old.exists():
        return
    with folder_lock(run, "the end of dim fit --overwrite", wait=True):
        if ready.exists():
            old.mkdir(exist_ok=True)
            for name in OWN:
                if (run / name).exists():
                    _move(run / name, old / name)
            sync_names(old)
            sync_names(run)
            ready.rename(moving)
        if moving.exists():
            sync_names(run)
            for path in list(moving.iterdir()):
                _move(path, run / path.name)
            sync_names(run)
            moving.rmdir()
        shutil.rmtree(old, ignore_errors=True)


def _move(path: Path, place: Path) -> None:
    """Moves a file or folder; what stands there already is the same one, from before a power cut."""
    if place.is_dir():
        shutil.rmtree(place)
    path.replace(place)
