"""The callback that turns what a trainer found into the files of a run, its table and its W&B log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console

from dim import provenance
from dim.baselines.beside import ranks_beside_baselines
from dim.results import COLUMNS, measure, print_results, write_predictions, write_results
from dim.task import LinkingTask


class ResultWriter(Callback):
    """Writes what `validate`, `test` and `predict` found into the run's folder, and prints the table.

    `ranks.parquet` has one row a mention and `metrics.json` the metrics of the split evaluated last at its top
    level; both keep what was found on other splits (column `split`, key `splits`).
    """

    def __init__(self, run: Path, config: dict[str, Any]) -> None:
        self.run, self.config = run, config
        self._found: tuple[dict[str, Any], pd.DataFrame] | None = None

    def show(self) -> None:
        """Prints the table of what was evaluated last, once the progress bars are gone."""
        if self._found is not None:
            print_results(Console(), *self._found)
            Console().print(f"written: {self.run / 'metrics.json'}, {self.run / 'ranks.parquet'}", soft_wrap=True)

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
        write_predictions(self.run, pl_module.data.dataset, pl_module.evaluated_rows.numpy(), pl_module.ranked)

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
            config=self.config,
        )
        write_results(self.run, frame, metrics)
        self._found = metrics, frame
        log_to_wandb(trainer, self.run, metrics)


def log_to_wandb(trainer: Trainer, run: Path, metrics: dict[str, Any]) -> None:
    """Logs the table and the ranks (as an artifact) to each Weights & Biases logger of the trainer."""
    from pytorch_lightning.loggers import WandbLogger

    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            table = wandb.Table(columns=["system", *COLUMNS])
            for name, values in (("floor", metrics["floor"]), ("frozen", metrics["frozen"]), ("model", metrics)):
                if values is not None:
                    table.add_data(name, *(values[column] for column in COLUMNS))
            split = metrics["split"]
            logger.experiment.log({f"{split}/results": table, **{f"{split}/{c}": metrics[c] for c in COLUMNS}})
            artifact = wandb.Artifact(f"ranks-{logger.experiment.id}", type="ranks")
            artifact.add_file(str(run / "ranks.parquet"))
            artifact.add_file(str(run / "metrics.json"))
            logger.experiment.log_artifact(artifact)
