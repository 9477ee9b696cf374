"""Towers that have not seen what they score: a run's method, fitted again with each fold of captions left out."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from dim.core.files import content_hash, remove_leftovers, write_json
from dim.core.folder_files import peek_json
from dim.core.known_classes import made as make_read
from dim.core.known_classes import parameters
from dim.data.splits import caption_groups
from dim.display.log import quieten
from dim.display.terminal import Console
from dim.encoders.device import resolve_device
from dim.errors import ConfigError
from dim.inference.places import stated_config
from dim.training.checkpoint_files import WholeCheckpoints
from dim.training.datamodule import LinkingDataModule
from dim.training.progress_lines import ProgressBar, progress_callback
from dim.training.saved_run import identity_of_run, instantiate_run, known_to_trainers
from dim.training.task import LinkingTask
from dim.training.trainer_options import StepLimit, accelerator_of

#: What of a run's trainer decides its weights; the rest is about logs and bars.
TRAINER_OPTIONS = (
    "accelerator",
    "precision",
    "max_epochs",
    "min_epochs",
    "max_steps",
    "min_steps",
    "max_time",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "deterministic",
    "limit_train_batches",
)


def draw_folds(groups: NDArray[np.int64], num_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold [n] of each row, between 0 and `num_folds` - 1: whole groups, drawn at random, of about equal size.

    Args:
        groups: [n], such as `caption_groups`.
        num_folds: At least 2.
        seed: Of the draw.

    Example:
        >>> sorted(draw_folds(np.array([0, 0, 1, 2]), 2, seed=0).tolist())
        [0, 0, 1, 1]
    """
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of_group, room = np.zeros(len(sizes), dtype=np.int64), np.zeros(num_folds, dtype=np.int64)
    for group in order:
        fold_of_group[group] = int(room.argmin())
        room[fold_of_group[group]] += sizes[group]
    found: NDArray[np.int64] = fold_of_group[groups]
    return found


def caption_folds(task: LinkingTask, rows: NDArray[np.int64], num_folds: int) -> NDArray[np.int64]:
    """The fold [n] of mention rows [n], whole captions each, by the run's seed.

    Raises:
        ConfigError: The mentions have fewer captions than folds.
    """
    mentions = task.data.dataset.mentions.iloc[rows]
    groups = caption_groups(mentions)
    most = int(groups.max()) + 1
    if not 2 <= num_folds <= most:
        captions = f"captions of {mentions['split'].iloc[0]}"
        if most < 2:
            raise ConfigError(f"two {captions} or more, for folds", str(most), "Add mentions, and fit again.")
        wanted = "2 folds, as many as" if most == 2 else f"between 2 and {most} folds, at most as many as"
        raise ConfigError(f"{wanted} {captions}", str(num_folds), "Change --folds.")
    return draw_folds(groups, num_folds, task.seed)


def cross_fit(
    run: Path, task: LinkingTask, folder: Path, num_folds: int, device: str = "auto"
) -> Iterator[tuple[NDArray[np.int64], LinkingTask]]:
    """Yields each fold's training rows, and the method fitted on the other folds, ready for `scores_of`.

    A fold that was fitted before is found again in `folder`.

    Args:
        run: A finished run; each fold is fitted from its config.yaml.
        task: The run's method, opened; the folds share its data, unless it trained an encoder.
        folder: Where the folds' weights are kept.
        num_folds: Folds of the training mentions, in whole captions.
        device: Where the folds compute.

    Raises:
        ConfigError: The training mentions have fewer captions than folds.
    """
    datamodule, dataset = task.datamodule, task.data.dataset
    rows = datamodule.train_rows().numpy()
    folds = caption_folds(task, rows, num_folds)
    config = stated_config(run)
    identity = content_hash(json.dumps(identity_of_run(run, task), sort_keys=True, default=str))
    console = Console()
    for fold in range(num_folds):
        kept, left_out = rows[folds != fold], rows[folds == fold]
        facts = {
            "rows": content_hash(kept.tobytes()),
            "dataset": dataset.hash,
            "seed": task.seed,
            "identity": identity,
        }
        home = folder / f"{fold + 1}of{num_folds}"
        said = f"fold {fold + 1} of {num_folds}: {len(kept):,} mentions, {len(left_out):,} left out"
        if _read(home / "fold.json") == facts:
            remove_leftovers(home)
            console.say(f"{said}, found")
        else:
            console.say(f"{said}, fitting")
            _fit(run, config, task, torch.from_numpy(kept), home, f"fold {fold + 1} of {num_folds}")
            write_json(home / "fold.json", facts)
        made, data = _instantiated(run, task)
        made.open_for_scoring(data, home / "best.ckpt", resolve_device(device))
        yield left_out, made


def _instantiated(run: Path, task: LinkingTask) -> tuple[LinkingTask, LinkingDataModule]:
    """The method, not yet trained, and its data: the run's, unless an encoder is trained, of which each has one."""
    made, data = instantiate_run(run, task.datamodule.root, task.datamodule.trusted)
    made.share_frozen(task)
    return made, data if len(task.trained_encoders) else task.datamodule


def _read(path: Path) -> Any:
    try:
        return peek_json(path, dict[str, Any])
    except (OSError, ValueError):
        return None


def _fit(run: Path, config: dict[str, Any], task: LinkingTask, kept: torch.Tensor, home: Path, said: str) -> None:
    quieten("pytorch_lightning", "lightning_fabric")
    (home / "fold.json").unlink(missing_ok=True)
    (home / "best.ckpt").unlink(missing_ok=True)
    made, datamodule = _instantiated(run, task)
    options, callbacks = _of_trainer(run, config, task.datamodule.trusted)
    best = ModelCheckpoint(
        home,
        filename="best",
        monitor="tune/mrr",
        mode="max",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    shown = progress_callback(said)
    trainer = Trainer(
        **options,
        devices=1,
        logger=False,
        callbacks=[best, StepLimit(), shown, *callbacks],
        plugins=[WholeCheckpoints()],
        enable_progress_bar=isinstance(shown, ProgressBar),
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
    datamodule.only = kept
    try:
        torch.set_flush_denormal(True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the run itself was fitted with
            trainer.fit(made, datamodule=datamodule)
    finally:
        torch.set_flush_denormal(False)
        datamodule.only = None
        datamodule.trainer = None


def _of_trainer(run: Path, config: dict[str, Any], trusted: Sequence[str]) -> tuple[dict[str, Any], list[Callback]]:
    """The options of the trainer that decide the weights, its callbacks, and early stopping."""
    given, known, hints = config.get("trainer") or {}, known_to_trainers(run, trusted), parameters(Trainer)[0]
    options = {
        name: known.read(given[name], hints[name], f"trainer.{name}") for name in TRAINER_OPTIONS if name in given
    }
    named = given.get("callbacks") or []
    read = known.read(named if isinstance(named, list) else [named], list[Callback], "trainer.callbacks")
    callbacks: list[Callback] = make_read(read)
    if stopping := config.get("early_stopping"):
        whole = {"class_path": EarlyStopping.__name__, "init_args": stopping}
        callbacks.append(make_read(known.read(whole, EarlyStopping, "early_stopping")))
    return make_read(options) | {"accelerator": accelerator_of(options.get("accelerator", "auto"))}, callbacks
