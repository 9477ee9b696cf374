"""`fit`, `validate`, `test` and `predict`: LightningCLI with a run folder and errors that name the remedy."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import torch
import yaml
from jsonargparse import get_loader, set_loader
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, Logger

from dim.cli.configs import with_config_files
from dim.cli.making import explain_making
from dim.cli.run_options import settle_options
from dim.cli.trainer_line import trainer_line
from dim.core.distributed import process_of_run
from dim.core.environment import restored
from dim.core.folder_files import is_bounded
from dim.core.known_classes import only_these, trusted_by
from dim.core.locks import folder_lock
from dim.core.options import Explained
from dim.core.replaced import State, state_of
from dim.core.shortages import shortage
from dim.core.wrong_line import split_line
from dim.display.lines import say
from dim.display.log import quieten
from dim.errors import ConfigError, DimError
from dim.evaluation.result_files import BEST, write_identity
from dim.inference.places import CONFIG, check_dataset, check_places, read_config, record_places
from dim.releases.prepare import open_dataset
from dim.training.checkpoint import check_checkpoint, checkpoint, no_checkpoint, to_resume_from
from dim.training.checkpoint_files import RunCheckpoint, WholeCheckpoints
from dim.training.datamodule import LinkingDataModule
from dim.training.pinning import keep_commits, write_settled
from dim.training.predict import predict_on_cluster
from dim.training.progress_lines import ProgressBar, progress_callback
from dim.training.registry import registered
from dim.training.resumed import ResumedStates, failed_to_resume
from dim.training.run_folder import COMPARED, folder_to_fit, replace_run, settle_run
from dim.training.saved_run import check_config, check_parts, classes_of_runs, packages_to_trust
from dim.training.start import ONE_TIME, RunStart
from dim.training.task import LinkingTask
from dim.training.trainer_options import StepLimit, accelerator_of, check_trainer
from dim.training.wandb_run import end_wandb, follow_run
from dim.training.writer import ResultWriter

MONITOR = "tune/mrr"
#: Variables that Lightning sets when it starts further processes, which another run in this process would take for its
#: own, and what the offline logger of Weights & Biases says to whatever comes later.
CHANGED = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "WANDB_MODE")
#: What Lightning and jsonargparse warn of and a user cannot act on.
QUIET = (
    ".*does not have many workers.*",
    "`max_epochs` was not set.*",  # early stopping ends the training
    ".*smaller than the logging interval.*",
    r".*`isinstance\(treespec, LeafSpec\)`.*",
    ".*callbacks used to create the checkpoint need to be provided.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    "predict returned None.*",
    r"(?s).*(JsonargparseDeprecationWarning|deprecated in v4\.).*",
)


_load_yaml = get_loader("yaml")


def load_yaml(text: str) -> Any:
    """What jsonargparse reads of a text or a file, if it is of a size that it can take."""
    value = _load_yaml(text)
    if not is_bounded(value):
        raise yaml.YAMLError("values that are too many, or too deep in one another")
    return value


set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))


class Parser(Explained, LightningArgumentParser):
    """Names what was given and what was meant."""


class DimCLI(LightningCLI):
    """LightningCLI whose runs each have one folder with config, checkpoints, logs, ranks and metrics.

    Nothing is written before options, data and checkpoint have been checked (`dim.training.start.RunStart`).

    Args:
        held: What ends with the command, such as the lock of the run's folder.
        trusted: The packages whose classes a run may name.
        **options: Of LightningCLI.
    """

    def __init__(self, held: ExitStack, trusted: tuple[str, ...] = (), **options: Any) -> None:
        self.held, self.trusted, self.command = held, trusted, str(options["args"][0])
        self.read: dict[Path, State] = {}  # folder of a configuration → as it stood there before it was read
        # Every process gets whole batches of rows and takes its share itself (dim.core.distributed).
        defaults = {"enable_model_summary": False, "logger": False, "use_distributed_sampler": False}
        super().__init__(trainer_defaults=defaults, **options)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The command that was asked for alone: making the options of all four takes longer than reading one's."""
        return {self.command: super().subcommands()[self.command]}

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        """Adds them, whose help then names what people type: `dim fit`, not the file that Python was given."""
        super()._add_subcommands(parser, **kwargs)
        for name, command in self._subcommand_parsers.items():
            command.prog = f"dim {name}"

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the run folder and early stopping to the options, and passes the seed on."""
        whole_numbers_first(parser)
        parser.add_argument("--run", type=str, required=True, help="Folder of the run: config, checkpoints, results.")
        parser.add_argument("--dataset", type=Path | None, default=None, help="As --data.root: where the dataset is.")
        parser.add_argument(
            "--trust",
            type=str | None,
            default=None,
            help="Packages, separated by commas, whose classes a run may name beside dim's; they are imported.",
        )
        parser.add_argument(
            "--overwrite",
            type=bool,
            default=False,
            help="Whether fit may replace what is in --run; beside --mentions also a dataset of others at --data.root.",
        )
        parser.add_argument(
            "--from",
            type=str | None,
            default=None,
            help="Of fit, a linker's folder: it is fitted on --mentions of its entities, with its encoders.",
        )
        parser.add_argument(
            "--mentions",
            type=str | None,
            default=None,
            help="Beside --from: a table of mentions, or its folder; the dataset of both is written to --data.root.",
        )
        parser.add_argument(
            "--allow_missing",
            type=bool | None,
            default=None,
            help="Beside --mentions: whether rows that cannot be read, or whose entity it lacks, are left out.",
        )
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.set_defaults(
            {"early_stopping.monitor": MONITOR, "early_stopping.mode": "max", "early_stopping.patience": 10}
        )
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.init_args.seed")
        parser.link_arguments("run", "trainer.default_root_dir")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses `args`; the parent warns about `sys.argv`, which is not read here."""
        if args[0] != "fit":
            for path in (Path(value) for name, value in split_line(args) if name and "config".startswith(name)):
                self.read[path.parent] = state_of(path.parent, (CONFIG,))
                check_config(path)
        self.config = parser.parse_args(args)
        settle_options(self.config[self.config["subcommand"]], [str(arg) for arg in args])

    def _parse_ckpt_path(self) -> None:
        """Nothing: a checkpoint of dim holds no options of the model."""

    @property
    def run(self) -> Path:
        """The run's folder."""
        return Path(self._get(self.config, "run"))

    def before_instantiate_classes(self) -> None:
        """Refuses what a run cannot keep its promises with, and to write over a run."""
        options = self.config[self.subcommand]
        options["weights_only"] = True
        if self.subcommand in ("validate", "test"):
            options["verbose"] = False  # Lightning's table of three of the figures, above ours
        check_trainer(options["trainer"], str(self.subcommand))
        if self.subcommand != "fit":
            check_parts(options["model"], options["data"])
        if process_of_run() == 0:
            self.held.enter_context(folder_lock(self.run, f"dim {self.subcommand}"))
            settle_run(self.run)
            self._check_stayed()
        self.folder = self.run  # what this command writes
        if self.subcommand == "fit" and not options["trainer"].get("fast_dev_run"):
            self.folder = folder_to_fit(self.run, options["ckpt_path"] is not None, options["overwrite"])

    def _check_stayed(self) -> None:
        """Refuses options of one run for another, which took its place before its lock was had."""
        if self.run in self.read and state_of(self.run, (CONFIG,)) != self.read[self.run]:
            raise ConfigError(
                f"a run at {self.run} that stays",
                "another one in its place since its config.yaml was read",
                "Run the same command again.",
            )

    def instantiate_classes(self) -> None:
        """Instantiates the classes; names the one that its options do not make."""
        try:
            super().instantiate_classes()
        except MisconfigurationException as error:
            raise trainer_error(error) from error
        except (ValueError, TypeError) as error:
            raise explain_making(self.config[self.subcommand], error) from error

    def after_instantiate_classes(self) -> None:
        """Finds the checkpoint, and checks what can be checked before any data is read."""
        self.datamodule.trusted = self.trusted
        self.model.check()
        self.datamodule.check_trained(type(self.model).__name__, self.model.trains_encoders)
        if self.subcommand != "fit" or self.config_init[self.subcommand]["ckpt_path"] is not None:
            keep_commits(self.folder, self.config_dump, self.model, self.datamodule)
        self.datamodule.needs = self.model.needs
        self.datamodule.needed_splits = self._needed_splits()
        is_new = self.subcommand == "fit" and self._get(self.config_init, "ckpt_path") is None
        if is_fitted := (self.run / CONFIG).exists() and not is_new:
            check_places(self.run, self.config_dump, "--dataset")
        if is_fitted and self.subcommand != "predict":
            remedy = "Write what is found into a run of its own: --run NEW --ckpt_path RUN/checkpoints/best.ckpt."
            if self.subcommand == "fit":
                remedy = "Name the dataset that it began with, or fit anew: --overwrite true without --ckpt_path."
            data = self.datamodule
            check_dataset(self.folder, open_dataset(data.root, data.cache_dir, data.images), remedy)
        options = self.config_init[self.subcommand]
        if self.subcommand != "fit" and self.model.is_trained:
            options["ckpt_path"] = options["ckpt_path"] or "best"
        if options["ckpt_path"] in ("best", "last"):
            resumes = self.subcommand == "fit" and options["ckpt_path"] == "last"
            found = to_resume_from(self.folder / "checkpoints") if resumes else None
            options["ckpt_path"] = str(found or checkpoint(self.folder, options["ckpt_path"]))
            self.start.resumed_from = found
        if options["ckpt_path"] is not None:
            check_checkpoint(Path(options["ckpt_path"]), self.model.seed, self.datamodule)
        if self.trainer.world_size > 1:
            self.model.try_parts()
            # Embeds what is missing before the other processes start, or while they wait at its locks: a barrier
            # of theirs would time out.
            _ = self.datamodule.linking_data

    def _needed_splits(self) -> tuple[str, ...]:
        """Those that the command reads; what is not trained is evaluated on dev where there is one."""
        fitted = ("train", "tune") if self.model.is_trained else ()
        read = {"validate": ("dev",), "test": ("test",), "predict": (self.datamodule.predict_split,)}
        return read.get(str(self.subcommand), fitted)

    def _run_subcommand(self, subcommand: str) -> None:
        """Runs it; Ctrl-C, which Lightning turns into an exit, stays Ctrl-C."""
        self.model.try_parts()
        handler = signal.getsignal(signal.SIGINT)
        try:
            super()._run_subcommand(subcommand)
        except SystemExit as error:
            if not self.trainer.interrupted:
                raise
            raise KeyboardInterrupt from error
        except MisconfigurationException as error:
            raise trainer_error(error) from error
        except Exception as error:
            if isinstance(error, DimError) or shortage(error) is not None or not failed_to_resume(error):
                raise
            raise no_checkpoint(self._get(self.config_init, "ckpt_path"), error) from error
        finally:
            # Lightning has ignored a second Ctrl-C since the first, in whatever phase that came, and leaves it so.
            if signal.getsignal(signal.SIGINT) != handler:
                signal.signal(signal.SIGINT, handler)

    def fit(self, model: LinkingTask, **kwargs: Any) -> None:
        """Trains the method, if it has weights."""
        if model.is_trained:
            self.trainer.fit(model, **kwargs)

    def predict(self, model: LinkingTask, datamodule: LinkingDataModule, ckpt_path: str | None, **kwargs: Any) -> None:
        """Answers a split: by the trainer, or on the cluster that `--data.engine` names."""
        if datamodule.engine == "local":
            self.trainer.predict(model, datamodule=datamodule, ckpt_path=ckpt_path, **kwargs)
        else:
            best = Path(ckpt_path) if ckpt_path else None
            predict_on_cluster(model, datamodule, self.config_dump, best, self.run)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with CSV logs, checkpoints by the metric on tune, and the writer of results."""
        self._dump_config()
        for name in ONE_TIME:
            self.config_dump.pop(name, None)
        configured = self._get(self.config_init, "trainer")
        is_fit = self.subcommand == "fit"
        self.writer = ResultWriter(self.folder, self.config_dump, of_fit=is_fit)
        loggers: list[Logger] = [CSVLogger(self.folder, name="logs"), *as_list(configured["logger"])]
        self.held.push(partial(end_wandb, loggers))
        seed, is_resumed = self._get(self.config, "seed_everything"), self._get(self.config, "ckpt_path") is not None
        record = follow_run(loggers, self.run, self.folder, seed, str(self.subcommand))
        self.start = RunStart(self.folder, self.config_dump, loggers, record, is_fit, is_resumed, self._complete)
        callbacks: list[Callback] = [self.start, *as_list(configured["callbacks"])]
        if is_shown := configured["enable_progress_bar"] is not False:
            callbacks.append(progress_callback())
            is_shown = isinstance(callbacks[-1], ProgressBar)  # Lightning would add its own bar beside our lines
        callbacks.append(self.writer)  # whose own work begins when all is ranked, and is shown as what it is
        if is_fit:
            callbacks += [StepLimit(), ResumedStates()]
            callbacks += [
                RunCheckpoint(
                    self.folder / "checkpoints",
                    filename=name,
                    monitor=monitor,
                    mode="max",
                    save_on_train_epoch_end=True,
                    enable_version_counter=False,
                )
                for name, monitor in (("best", MONITOR), ("last", None))
            ]
        if configured["num_sanity_val_steps"] is None and self.datamodule.trained_encoders:
            kwargs["num_sanity_val_steps"] = 0  # which would encode the whole KB before the first step
        # The loggers come with RunStart: they would begin with files, before anything was checked.
        self.checkpoints = WholeCheckpoints(resumes=is_fit)
        plugins = [self.checkpoints, *as_list(configured["plugins"])]
        return super().instantiate_trainer(
            accelerator=accelerator_of(configured["accelerator"]),
            callbacks=callbacks,
            plugins=plugins,
            logger=False,
            enable_progress_bar=is_shown,
            **kwargs,
        )

    def _complete(self) -> None:
        """Names in the configuration what the run settled, and where the run's files are beside it."""
        write_settled(self.config_dump, self.model, self.datamodule)
        record_places(self.run, self.config_dump, self.datamodule.linking_data.dataset, self.folder)

    def before_validate(self) -> None:
        """Names in the configuration that stands beside the results what was settled, such as commits of a hub."""
        write_settled(self.config_dump, self.model, self.datamodule)

    def before_test(self) -> None:
        """The same."""
        write_settled(self.config_dump, self.model, self.datamodule)

    def after_fit(self) -> None:
        """Evaluates the best weights on dev, and puts the run in its place."""
        if self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            say("fast_dev_run: a few batches of train and tune went well; nothing was written")
            return
        best = None
        if self.model.is_trained:
            best = self.folder / BEST
            if not best.exists():
                raise ConfigError(
                    "an epoch of training, with its evaluation on tune",
                    "training that ended before",
                    "Raise --trainer.max_time, or lower --trainer.min_epochs and min_steps to at most max_steps.",
                )
        splits = set(self.datamodule.linking_data.dataset.mentions["split"])
        has_dev = "dev" in splits
        self.checkpoints.resumes = False
        if has_dev:
            self.trainer.validate(
                self.model, datamodule=self.datamodule, ckpt_path=best, verbose=False, weights_only=True
            )
        else:
            self.start.begin(self.trainer)
        if process_of_run() == 0:
            self.start.finish(self.trainer)
            if self.folder != self.run:
                replace_run(self.run)
                self.writer.run = self.run
        if has_dev:
            self.writer.show()
        else:
            write_identity(self.run, self.writer.identity(self.model, self.datamodule.linking_data))
        if process_of_run() == 0:
            # Here, because it imports what a linker needs.
            from dim.cli.next_steps import say_next_of_run, say_not_evaluated

            config = read_config(self.run)
            if not has_dev:
                say_not_evaluated(splits, self.run, packages_to_trust(config))
            if not (self.run / COMPARED).exists():  # dim compare goes on by itself
                say_next_of_run(self.model, self.run, config)

    def after_validate(self) -> None:
        """Prints the results."""
        self.writer.show()

    def after_test(self) -> None:
        """Prints the results."""
        self.writer.show()


def whole_numbers_first(parser: LightningArgumentParser) -> None:
    """Has `1` be one batch to options that take a number of batches or a share, whatever was imported before.

    Python keeps one of `Union[int, float]` and `Union[float, int]`, which are equal, the one that came first: where a
    library such as spaCy was imported before Lightning, the parser would take `1` for the share 1.0, which is all.
    """
    for action in parser._actions:
        hint = getattr(action, "_typehint", None)
        parts = get_args(hint) if get_origin(hint) is Union else ()
        if int in parts and float in parts and parts.index(float) < parts.index(int):
            others = (part for part in parts if part is not int)
            action._typehint = Union[(int, *others)]  # type: ignore[attr-defined]


def as_list(value: Any) -> list[Any]:
    """None, False or True (the default) → nothing more, one → a list of it."""
    return value if isinstance(value, list) else [value] if value and value is not True else []


def trainer_error(error: Exception) -> ConfigError:
    """What Lightning says of its options, as one of dim's errors."""
    return ConfigError(
        "options of the trainer that go together", str(error), "Change --trainer.…; dim fit --help lists the options."
    )


#: What the trainer's commands are made of.
OPTIONS: dict[str, Any] = {
    "model_class": LinkingTask,
    "datamodule_class": LinkingDataModule,
    "subclass_mode_model": True,
    "save_config_callback": None,
    "seed_everything_default": 0,
    "parser_class": Parser,
    "auto_configure_optimizers": False,
    "load_from_checkpoint_support": False,
}


def run_trainer(arguments: Sequence[str]) -> None:
    """Runs `fit`, `validate`, `test` or `predict` with the given command line."""
    arguments = with_config_files(arguments)
    # Adam's squares of tiny gradients become denormal numbers, which processors multiply some 100 times slower.
    # Here, before the first operation: the threads of torch's pool take the setting from the one that starts them.
    torch.set_flush_denormal(True)
    quieten("pytorch_lightning", "lightning_fabric")
    for message in QUIET:
        warnings.filterwarnings("ignore", message=message)
    # Lightning starts further processes with this process's command line, and tells them by the environment.
    argv, sys.argv = sys.argv, [sys.argv[0], *arguments]
    is_first = process_of_run() == 0
    Parser.line = trainer_line(arguments)
    registered()  # a YAML file names a class without its module once the class is known
    line = list(split_line(arguments))
    trusted = trusted_by(",".join(value for name, value in line if name == "trust"))
    typed_in = [value for name, value in line if name != "trust"]
    # The configuration of fit is the user's own word; that of a run may be a stranger's.
    door = nullcontext() if arguments[0] == "fit" else only_these(classes_of_runs(), trusted, typed_in)
    try:
        with (
            restored(CHANGED),
            ExitStack() as held,
            door,
            nullcontext() if is_first else redirect_stdout(StringIO()),
        ):
            DimCLI(held, trusted, **OPTIONS, args=arguments)
    finally:
        torch.set_flush_denormal(False)
        sys.argv = argv
