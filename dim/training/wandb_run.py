"""A run in Weights & Biases: named after its folder and seed, and gone on with by `validate` and `test`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from pytorch_lightning.loggers import Logger, WandbLogger

from dim.core.excerpts import one_line
from dim.core.folder_files import read_json
from dim.display.visible import visible_line
from dim.errors import ConfigError
from dim.training.run_folder import SEED

RECORD = "wandb.json"  #: In a run's folder: the id under which Weights & Biases knows it.


class Record(TypedDict):
    """What dim reads of it."""

    id: NotRequired[str | None]


class WandbRun(WandbLogger):
    """Logs a run to Weights & Biases: what the shipped configs name. Unless told otherwise offline, without an account.

    Offline it does not print its summary, 30 lines of what the tables say, unless `WANDB_QUIET` is set to false.

    Args:
        project: Of Weights & Biases.
        offline: Whether it stays in the run's folder, from where `wandb sync` sends it.
        **options: Of Lightning's `WandbLogger`.
    """

    def __init__(self, project: str = "dim", offline: bool = True, **options: Any) -> None:
        if offline:
            os.environ.setdefault("WANDB_QUIET", "true")
        super().__init__(project=project, offline=offline, **options)


def names_of(run: Path, seed: int) -> dict[str, str]:
    """The name and group of a run.

    Example:
        >>> names_of(Path("runs/wikimel_text/seed1"), 1)
        {'name': 'wikimel_text/seed1', 'group': 'wikimel_text'}
        >>> names_of(Path("runs/demo"), 0)
        {'name': 'demo/seed0', 'group': 'demo'}
    """
    run = run.absolute()
    group = run.parent.name if SEED.fullmatch(run.name) else run.name
    group = visible_line(group)  # Weights & Biases prints it
    return {"name": f"{group}/seed{seed}", "group": group}


def follow_run(loggers: Sequence[Logger], run: Path, folder: Path, seed: int, command: str) -> dict[str, Any] | None:
    """Tells each Weights & Biases logger the run's folder, names and id; what the user chose stays.

    Args:
        loggers: Of the trainer, not started.
        run: The run's folder.
        folder: Where this command writes it.
        seed: The run's seed.
        command: `fit` has an id of its own, unless it goes on; the others take that of the run's `fit`.

    Returns:
        What `wandb.json` shall hold; None: there is no such logger.
    """
    wandb_loggers = [logger for logger in loggers if isinstance(logger, WandbLogger)]
    if not wandb_loggers:
        return None
    known = _read(folder / RECORD).get("id")
    chosen = wandb_loggers[0]._wandb_init.get("id") or known
    if chosen is None and command == "fit":
        chosen = secrets.token_hex(4)
    # Evaluated after a fit without Weights & Biases: a run of its own, which says so.
    job = "fit" if command == "fit" or known else command
    for logger in wandb_loggers:
        options = logger._wandb_init
        for name, value in {**names_of(run, seed), "job_type": job, "id": chosen}.items():
            if options.get(name) is None:
                options[name] = value
        if options.get("anonymous") is None:
            options.pop("anonymous", None)  # wandb warns of it, though nobody set it
        if command != "fit":
            _bound(options)
        options["dir"] = str(run)
        logger._name, logger._id, logger._save_dir = options["name"], options["id"], str(run)
    return {"id": chosen, "project": wandb_loggers[0]._wandb_init["project"]}


#: Options of Weights & Biases that a run's configuration decides in commands other than fit.
OF_RUNS = frozenset(
    {"name", "project", "entity", "group", "job_type", "tags", "notes", "id", "resume", "mode", "reinit", "anonymous"}
)


def _bound(options: dict[str, Any]) -> None:
    """Leaves what a stranger's run may decide: not where it is sent, nor that git and code of some folder are read."""
    import wandb

    for name in set(options) - OF_RUNS:
        options.pop(name)
    options["settings"] = wandb.Settings(disable_git=True, disable_code=True)


def _read(path: Path) -> dict[str, Any]:
    what, remedy = f"the record of Weights & Biases at {path}", "Remove it: another run begins there."
    found: dict[str, Any] = read_json(path, Record, what, remedy) if path.exists() else {}
    return found


def begin_wandb(loggers: Sequence[Logger]) -> None:
    """Starts what is logged to Weights & Biases, before anything else of a run is written.

    Raises:
        ConfigError: It cannot be started: no login, no network, or a WANDB_… variable that it does not take.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            Path(logger.save_dir or ".").mkdir(parents=True, exist_ok=True)  # or wandb warns that git has none
            try:
                _ = logger.experiment
            except (wandb.Error, ValueError) as error:
                remedy = (
                    "Run wandb login and look at the WANDB_… variables, or leave it offline (--trainer.logger.offline "
                    "true; wandb sync sends it later) or out (--trainer.logger false)."
                )
                raise ConfigError("a run that Weights & Biases can start", one_line(error), remedy) from error


def end_wandb(loggers: Sequence[Logger], kind: type[BaseException] | None, *_: object) -> None:
    """Ends what was started in Weights & Biases: a later command of this process would go on in it."""
    for logger in loggers:
        if isinstance(logger, WandbLogger) and logger._experiment is not None:
            logger._experiment.finish(exit_code=int(kind is not None))
