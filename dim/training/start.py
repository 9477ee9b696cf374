"""The moment at which a command of the trainer begins to write: data, network and checkpoint have been accepted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger

from dim.core.files import atomic_path, remove_leftovers, sync_names, write_json
from dim.training.checkpoint import LAST, PREVIOUS, weights_of
from dim.training.checkpoint_files import keep_as
from dim.training.run_folder import NEW, UNFINISHED, mark_unfinished
from dim.training.saved_run import check_features, check_method
from dim.training.task import LinkingTask
from dim.training.wandb_run import begin_wandb

#: Options that are for one call alone, with their defaults: they are not kept in a run's config.yaml.
ONE_TIME: dict[str, Any] = {"ckpt_path": None, "overwrite": False}


class RunStart(Callback):
    """Writes the configuration of a run and starts its loggers, right before the first step.

    Until then a command that fails has changed nothing. Stands first among the callbacks, so that others find loggers.

    Args:
        folder: Where the run is written.
        config: Its configuration.
        loggers: What the trainer shall log to.
        record: What `wandb.json` shall say; None: there is no Weights & Biases.
        is_fit: Whether the command trains, or only evaluates.
        is_resumed: Whether it goes on from a checkpoint.
        complete: Completes `config` right before it is written, once the data is open.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        loggers: list[Logger],
        record: dict[str, Any] | None,
        is_fit: bool,
        is_resumed: bool,
        complete: Callable[[], None],
    ) -> None:
        self.folder, self.config, self.loggers, self.record = folder, config, loggers, record
        self.is_fit, self.is_resumed, self.complete = is_fit, is_resumed, complete
        self._has_begun = False
        self._weights_before: str | None = None
        #: The checkpoint that training goes on from; where no epoch is left, nothing else would become the last.
        self.resumed_from: Path | None = None

    def begin(self, trainer: Trainer) -> None:
        """Writes the configuration, once, and gives the trainer its loggers."""
        if self._has_begun or trainer.fast_dev_run or trainer.sanity_checking:  # type: ignore[attr-defined]
            return
        self._has_begun = True
        begin_wandb(self.loggers)
        if self.is_fit and trainer.is_global_zero:
            self._prepare()
        trainer.loggers = self.loggers
        for logger in self.loggers if self.is_fit else ():
            logger.log_hyperparams(self.config)

    def _prepare(self) -> None:
        if self.folder.name == NEW and not self.is_resumed:
            shutil.rmtree(self.folder, ignore_errors=True)  # an earlier try to replace the run
        self._weights_before = weights_of(self.folder)
        mark_unfinished(self.folder)
        self.complete()
        with atomic_path(self.folder / "config.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")
        if self.record is not None:
            write_json(self.folder / "wandb.json", self.record)
        last = self.folder / "checkpoints" / LAST
        if self.resumed_from is not None and self.resumed_from.parent == last.parent and self.resumed_from != last:
            keep_as(self.resumed_from, last)

    def _check(self, task: LightningModule) -> None:
        assert isinstance(task, LinkingTask)
        if not self.is_fit:
            check_method(self.folder, task, self.config)
            check_features(self.folder, task)

    def finish(self, trainer: Trainer) -> None:
        """Ends the run: what only an unfinished one needs goes, and the answers of `predict` to other weights.

        Rankers and results say whose they are.
        """
        if self._weights_before is not None and self._weights_before != weights_of(self.folder):
            shutil.rmtree(self.folder / "predictions", ignore_errors=True)
        (self.folder / "checkpoints" / PREVIOUS).unlink(missing_ok=True)
        remove_leftovers(self.folder / "checkpoints")
        (self.folder / UNFINISHED).unlink(missing_ok=True)
        sync_names(self.folder)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins."""
        self.begin(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins, unless the trainer only tries whether validation works."""
        self._check(pl_module)
        self.begin(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins."""
        self._check(pl_module)
        self.begin(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins."""
        self._check(pl_module)
        self.begin(trainer)
