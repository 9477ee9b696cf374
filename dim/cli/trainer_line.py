"""The command line of the trainer's commands, and what is wrong with one of `fit` before anything is imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dim.cli.configs import with_config_files
from dim.cli.outline import arguments_of
from dim.core.wrong_line import Line, wrong_name

REQUIRED = ("run", "data.root", "model")
#: The options of `fit` that are dim's own and no class's.
OWN = ("run", "dataset", "trust", "overwrite", "from", "mentions", "allow_missing")
#: Whose arguments the others are.
PARTS = (
    ("pytorch_lightning.trainer.trainer", "Trainer", "__init__"),
    ("dim.training.datamodule", "LinkingDataModule", "__init__"),
    ("pytorch_lightning.callbacks.early_stopping", "EarlyStopping", "__init__"),
    ("pytorch_lightning.trainer.trainer", "Trainer", "fit"),
)
#: What Lightning's command line gives `Trainer.fit` itself.
NO_OPTIONS = ("model", "train_dataloaders", "val_dataloaders", "datamodule")


def trainer_line(arguments: Sequence[str]) -> Line:
    """The line of one of the trainer's commands: its name, and what stands after it."""
    return Line(arguments[0], tuple(arguments[1:]), REQUIRED, Path.cwd())


def is_from_linker(arguments: Sequence[str]) -> bool:
    """Whether a line of `fit` goes on from a linker."""
    return any(word.partition("=")[0] in ("--from", "--mentions") for word in arguments)


def check_names(arguments: Sequence[str]) -> None:
    """Raises ConfigError for an option of `fit` that does not exist, before the parser, which takes long to import."""
    line, parts = trainer_line(with_config_files(arguments)), [arguments_of(*part) for part in PARTS]
    # Of a Lightning that has them elsewhere, its parser tells.
    if all(parts) and (error := wrong_name(line, dict(options_of_fit(*parts)))):
        raise error


def options_of_fit(
    trainer: Iterable[str], data: Iterable[str], early_stopping: Iterable[str], of_fit: Iterable[str]
) -> Iterator[tuple[str, bool]]:
    """The options of `fit` as its parser has them, each with whether it may take an object.

    Args:
        trainer: The arguments of the trainer's constructor, and so on, as in `PARTS`.
        data: Of the data module's.
        early_stopping: Of early stopping's.
        of_fit: Of the trainer's method.
    """
    yield from (("config", False), ("seed_everything", True), ("trainer", False))
    yield from ((f"trainer.{name}", True) for name in trainer)
    yield from (("model", True), ("data", False))
    yield from ((f"data.{name}", True) for name in data)
    yield from ((name, True) for name in OWN)
    yield "early_stopping", False
    yield from ((f"early_stopping.{name}", True) for name in early_stopping)
    yield from ((name, True) for name in of_fit if name not in NO_OPTIONS)
