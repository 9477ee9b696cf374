"""The callback that turns what a trainer found into the files of a run, its table and its W&B log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pytorch_lightning import Callback, LightningModule, Trainer

from dim.core import provenance
from dim.display.lines import say
from dim.display.terminal import Console
from dim.evaluation.result_files import write_result
from dim.evaluation.results import BASELINES, COLUMNS, measure, print_results, write_predictions
from dim.inference.data import LinkingData
from dim.inference.places import stated_config
from dim.training.beside import ranks_beside_baselines
from dim.training.checkpoint import file_in, said_of
from dim.training.identity import Identity, identity_of
from dim.training.task import LinkingTask


class ResultWriter(Callback):
    """Writes what `validate`, `test` and `predict` found into the run's folder, and prints the table.

    Both `ranks.parquet` and `metrics.json` keep what was found on other splits and under other protocols
    (`dim.evaluation.result_files`).

    Args:
        run: The run's folder.
        config: The command's configuration.
        of_fit: Whether the command is `fit`, which makes the run what it is.
    """

    def __init__(self, run: Path, config: dict[str, Any], of_fit: bool = False) -> None:
        self.run, self.config, self.of_fit = run, config, of_fit
        self._found: tuple[dict[str, Any], pd.DataFrame] | None = None

    def show(self) -> None:
        """Prints the table of what was evaluated last, once the progress bars are gone."""
        if self._found is not None:
            print_results(Console(), *self._found)
            if (checkpoint := self._found[0]["checkpoint"]) is not None:
                say(said_of(checkpoint))
            Console().say(f"written: {self.run / 'metrics.json'}, {self.run / 'ranks.parquet'}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes dev's results (not those on tune, while fitting)."""
        if trainer.state.fn == "validate":
            self._write(trainer, pl_module, "dev")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes test's results."""
        self._write(trainer, pl_module, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes one JSON line a mention: its id and the answers with names and scores."""
        assert isinstance(pl_module, LinkingTask)
        assert pl_module.ranked is not None
        if not trainer.is_global_zero:
            return
        rows, split = pl_module.evaluated_rows.numpy(), pl_module.datamodule.predict_split
        checkpoint = self._checkpoint(trainer, pl_module)
        write_predictions(self.run, split, pl_module.data.dataset, rows, pl_module.ranked, checkpoint)

    def _checkpoint(self, trainer: Trainer, task: LinkingTask) -> dict[str, Any] | None:
        """What the figures are of: file, epoch, seed, hash of the weights; None for a method without weights."""
        if task.checkpoint is None or trainer.ckpt_path is None:
            return None
        return task.checkpoint | {"file": file_in(self.run, Path(trainer.ckpt_path))}

    def identity(self, task: LinkingTask, data: LinkingData) -> Identity:
        """What the run is, by the configuration that `fit` wrote, or by this command's where there was no `fit`."""
        written = self.run / "config.yaml"
        is_fitted = written.exists() and not self.of_fit
        config = stated_config(self.run) if is_fitted else self.config
        return identity_of(config, data.fingerprints, task.parts())

    def _write(self, trainer: Trainer, task: LightningModule, split: str) -> None:
        assert isinstance(task, LinkingTask)
        assert task.ranked is not None
        if not trainer.is_global_zero:
            return
        data, rows = task.data, task.evaluated_rows
        frame = ranks_beside_baselines(data, rows, split, task.ranked)
        metrics = measure(
            data.dataset,
            frame,
            depth=task.depth,
            answers_nil=task.answers_nil,
            model=type(task).__name__,
            system=None,
            features=data.fingerprints,
            missing_images=data.missing_images,
            seed=task.seed,
            chosen=task.chosen,
            method=task.describe(),
            hardware=provenance.hardware(),
            checkpoint=self._checkpoint(trainer, task),
            config=self.config,
        )
        write_result(self.run, frame, metrics, self.identity(task, task.data), self.of_fit)
        self._found = metrics, frame
        log_to_wandb(trainer, self.run, metrics)


def log_to_wandb(trainer: Trainer, run: Path, metrics: dict[str, Any]) -> None:
    """Logs the table and the ranks (as an artifact) to each Weights & Biases logger of the trainer."""
    from pytorch_lightning.loggers import WandbLogger

    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            table = wandb.Table(columns=["system", *COLUMNS])
            for name, values in (*((key, metrics.get(key)) for key in BASELINES), ("model", metrics)):
                if values is not None:
                    table.add_data(name, *(values[column] for column in COLUMNS))
            split = metrics["split"]
            logger.experiment.log({f"{split}/results": table, **{f"{split}/{c}": metrics[c] for c in COLUMNS}})
            artifact = wandb.Artifact(f"ranks-{logger.experiment.id}", type="ranks")
            artifact.add_file(str(run / "ranks.parquet"))
            artifact.add_file(str(run / "metrics.json"))
            logger.experiment.log_artifact(artifact)
