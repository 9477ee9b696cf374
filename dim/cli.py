"""`fit`, `validate`, `test` and `predict`: LightningCLI with a run folder and errors that name the remedy."""

from __future__ import annotations

import inspect
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

# Imported for their names: a YAML file names a class without its module once the class is known.
import dim.baselines.bm25
import dim.baselines.names
import dim.contrastive.module
import dim.features.named
import dim.generative.module
import dim.saved_run  # noqa: F401
from dim.contrastive.losses import NPair, ReleasedNPair
from dim.contrastive.negatives import Negatives
from dim.datamodule import LinkingDataModule
from dim.errors import ConfigError
from dim.evaluation.protocols import Protocol
from dim.features.base import Captioner, Encoder
from dim.generative.examples import Examples
from dim.options import explain
from dim.places import CACHE, CONFIG, ROOT, check_dataset, check_places, is_config_of, located, paths_in, record_places
from dim.predict import predict_on_cluster
from dim.prepare import open_dataset
from dim.processes import process_of_run
from dim.result_files import write_identity
from dim.scorer import Scorer
from dim.storage import atomic_path
from dim.task import LinkingTask
from dim.writer import ResultWriter

MONITOR = "tune/mrr"
#: What Lightning sets when it starts further processes; another run in this process would take it for its own.
LAUNCH_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
#: What Lightning and jsonargparse warn of and a user cannot act on.
QUIET = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    r".*`isinstance\(treespec, LeafSpec\)`.*",
    ".*callbacks used to create the checkpoint need to be provided.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    "predict returned None.*",
    r"(?s).*(JsonargparseDeprecationWarning|deprecated in v4\.).*",
)


class Parser(LightningArgumentParser):
    """Says what is wrong with an option in one line, and names the nearest one that exists."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises ConfigError in the place of argparse's exit."""
        raise explain(message, [action.dest for action in self._actions], known_classes())


def known_classes() -> list[type]:
    """The classes of dim that a YAML file may name."""
    bases: list[type] = [LinkingTask, Encoder, Captioner, Protocol, Negatives, NPair, ReleasedNPair, Examples, Scorer]
    return [kind for base in bases for kind in (base, *all_subclasses(base)) if not inspect.isabstract(kind)]


def all_subclasses(kind: type) -> list[type]:
    """Direct and further subclasses."""
    children: list[type] = kind.__subclasses__()
    return [found for child in children for found in (child, *all_subclasses(child))]


class DimCLI(LightningCLI):
    """LightningCLI whose runs each have one folder with config, checkpoints, logs, ranks and metrics."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the run folder and early stopping to the options, and passes the seed on."""
        parser.add_argument("--run", type=str, required=True, help="Folder of the run: config, checkpoints, results.")
        parser.add_argument("--dataset", type=Path | None, default=None, help="As --data.root: where the dataset is.")
        parser.add_argument("--overwrite", type=bool, default=False, help="Whether fit may replace what is in --run.")
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.set_defaults(
            {"early_stopping.monitor": MONITOR, "early_stopping.mode": "max", "early_stopping.patience": 10}
        )
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.init_args.seed")
        parser.link_arguments("run", "trainer.default_root_dir")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses `args`; the parent warns about `sys.argv`, which is not read here."""
        self.config = parser.parse_args(args)
        options = self.config[self.config["subcommand"]]
        is_named = any(str(arg).partition("=")[0] == "--run" for arg in args)
        for path in [Path(str(config)) for config in options.get("config") or []]:
            if is_config_of(path.parent, path):
                self._settle(options, path.parent, is_named)
        if (dataset := options.pop("dataset", None)) is not None:
            options["data.root"] = dataset

    @staticmethod
    def _settle(options: Any, folder: Path, is_named: bool) -> None:
        """Takes the run whose config.yaml was given, and its files, from where they stand now."""
        if not is_named:
            options["run"] = str(folder)
            options["trainer.default_root_dir"] = str(folder)
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        given = dict(paths_in(config))
        for option, place in located(folder, config).items():
            if str(options.get(option)) == given[option]:  # and not changed by a later option
                options[option] = Path(place) if option in (ROOT, CACHE) else place

    @property
    def run(self) -> Path:
        """The run's folder."""
        return Path(self._get(self.config, "run"))

    def before_instantiate_classes(self) -> None:
        """Refuses to write over a run."""
        options = self.config[self.subcommand]
        options["weights_only"] = True
        if self.subcommand == "fit" and process_of_run() == 0:
            check_free(self.run, resumed=options["ckpt_path"] is not None, overwrite=options["overwrite"])

    def after_instantiate_classes(self) -> None:
        """Finds the checkpoint, and checks what can be checked before any data is read."""
        self.model.check()
        self.datamodule.needs = self.model.needs
        is_new = self.subcommand == "fit" and self._get(self.config_init, "ckpt_path") is None
        if is_fitted := (self.run / CONFIG).exists() and not is_new:
            check_places(self.run, self.config_dump, "--dataset")
        if self.trainer.world_size > 1:
            # Embeds what is missing before the other processes start, or while they wait at its locks: a barrier
            # of theirs would time out.
            _ = self.datamodule.linking_data
        if is_fitted and self.subcommand in ("validate", "test"):
            remedy = "Write what is found into a run of its own: --run NEW --ckpt_path RUN/checkpoints/best.ckpt."
            check_dataset(self.run, open_dataset(self.datamodule.root, self.datamodule.cache_dir), remedy)
        options = self.config_init[self.subcommand]
        if self.subcommand != "fit" and self.model.is_trained:
            options["ckpt_path"] = options["ckpt_path"] or "best"
        if options["ckpt_path"] in ("best", "last"):
            options["ckpt_path"] = str(checkpoint(self.run, options["ckpt_path"]))

    def fit(self, model: LinkingTask, **kwargs: Any) -> None:
        """Trains the method, if it has weights."""
        if model.is_trained:
            self.trainer.fit(model, **kwargs)

    def predict(self, model: LinkingTask, datamodule: LinkingDataModule, ckpt_path: str | None, **kwargs: Any) -> None:
        """Answers a split: by the trainer, or on the cluster that `--data.engine` names."""
        if datamodule.engine == "local":
            self.trainer.predict(model, datamodule=datamodule, ckpt_path=ckpt_path, **kwargs)
        else:
            predict_on_cluster(model, datamodule, Path(ckpt_path) if ckpt_path else None, self.run)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with CSV logs, checkpoints by the metric on tune, and the writer of results."""
        self._dump_config()
        configured = self._get(self.config_init, "trainer")
        self.writer = ResultWriter(self.run, self.config_dump, of_fit=self.subcommand == "fit")
        callbacks: list[Callback] = [*as_list(configured["callbacks"]), self.writer]
        if configured["enable_progress_bar"] is not False:
            callbacks.append(ProgressBar())
        if self.subcommand == "fit":
            for name, monitor in (("best", MONITOR), ("last", None)):
                callbacks.append(
                    ModelCheckpoint(
                        self.run / "checkpoints",
                        filename=name,
                        monitor=monitor,
                        mode="max",
                        save_on_train_epoch_end=True,
                        enable_version_counter=False,
                    )
                )
        loggers: list[Logger] = [CSVLogger(self.run, name="logs"), *as_list(configured["logger"])]
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger._wandb_init["dir"] = str(self.run)
        return super().instantiate_trainer(callbacks=callbacks, logger=loggers, **kwargs)

    def before_fit(self) -> None:
        """Writes the configuration into the run's folder and to the loggers."""
        if process_of_run() == 0:
            with atomic_path(self.run / "config.yaml") as temporary:
                temporary.write_text(yaml.safe_dump(self.config_dump, sort_keys=False), encoding="utf-8")
            record_places(self.run, self.config_dump, self.datamodule.linking_data.dataset)
        for logger in self.trainer.loggers:
            logger.log_hyperparams(self.config_dump)

    def after_fit(self) -> None:
        """Evaluates the best weights on dev."""
        if self.trainer.interrupted:
            return
        splits = set(self.datamodule.linking_data.dataset.mentions["split"])
        if "dev" in splits:
            self.trainer.validate(
                self.model,
                datamodule=self.datamodule,
                ckpt_path=checkpoint(self.run, "best") if self.model.is_trained else None,
                verbose=False,
                weights_only=True,
            )
            self.writer.show()
        else:
            write_identity(self.run, self.writer.identity(self.model))
            print(f"The dataset has no dev split; to evaluate on test: dim test --config {self.run / 'config.yaml'}")

    def after_validate(self) -> None:
        """Prints the results."""
        self.writer.show()

    def after_test(self) -> None:
        """Prints the results."""
        self.writer.show()


class ProgressBar(RichProgressBar):
    """Lightning's bar without the logger's version number."""

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands beside the bar."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


def as_list(value: Any) -> list[Any]:
    """None or False → nothing, one → a list of it."""
    return value if isinstance(value, list) else [value] if value else []


def check_free(run: Path, resumed: bool, overwrite: bool) -> None:
    """Makes sure that `fit` may write into the run's folder; with `overwrite` the old run's files go.

    Raises:
        ConfigError: A finished or unfinished run stands there.
    """
    if resumed or not any((run / name).exists() for name in ("metrics.json", "checkpoints")):
        return
    if overwrite:
        for name in ("config.yaml", "metrics.json", "ranks.parquet", "predictions.jsonl"):
            (run / name).unlink(missing_ok=True)
        for name in ("checkpoints", "logs"):
            shutil.rmtree(run / name, ignore_errors=True)
        return
    finished = (run / "metrics.json").exists()
    resume = "" if finished else "To go on with it add --ckpt_path last. "
    raise ConfigError(
        f"a folder without a run at --run {run}",
        "a finished run" if finished else "an unfinished run",
        f"{resume}To replace it add --overwrite true; to keep it name another folder.",
    )


def checkpoint(run: Path, name: str) -> Path:
    """The `best` weights on tune, or the `last` epoch's. Raises ConfigError where there are none."""
    path = run / "checkpoints" / f"{name}.ckpt"
    if not path.exists():
        raise ConfigError(f"a checkpoint {path}", "none", "Run dim fit with the same --run first, or give --ckpt_path.")
    return path


def run_trainer(arguments: Sequence[str]) -> None:
    """Runs `fit`, `validate`, `test` or `predict` with the given command line."""
    # Adam's squares of tiny gradients become denormal numbers, which processors multiply some 100 times slower.
    # Here, before the first operation: the threads of torch's pool take the setting from the one that starts them.
    torch.set_flush_denormal(True)
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in QUIET:
        warnings.filterwarnings("ignore", message=message)
    # Lightning starts further processes with this process's command line, and tells them by the environment.
    argv, sys.argv = sys.argv, [sys.argv[0], *arguments]
    environment = {name: os.environ.get(name) for name in LAUNCH_VARIABLES}
    is_first = process_of_run() == 0
    try:
        with nullcontext() if is_first else redirect_stdout(StringIO()):
            DimCLI(
                model_class=LinkingTask,
                datamodule_class=LinkingDataModule,
                subclass_mode_model=True,
                save_config_callback=None,
                seed_everything_default=0,
                # Every process gets whole batches of rows and takes its share itself (dim.processes).
                trainer_defaults={"enable_model_summary": False, "logger": False, "use_distributed_sampler": False},
                parser_class=Parser,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                args=list(arguments),
            )
    finally:
        torch.set_flush_denormal(False)
        sys.argv = argv
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
