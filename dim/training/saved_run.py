"""A finished run, opened again: its method with its weights and its data, without a trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.core.files import content_hash
from dim.core.folder_files import read_yaml
from dim.core.known_classes import KnownClasses, class_names, imported_class, made
from dim.core.replaced import of_one_folder
from dim.encoders.device import resolve_device
from dim.errors import CheckpointError, ConfigError, DataError
from dim.evaluation.result_files import BEST, read_results
from dim.inference.places import CONFIG, check_dataset, check_places, dataset_of, read_config
from dim.releases.prepare import open_dataset
from dim.search.scores import scores_at, scores_by_slice
from dim.training.datamodule import LinkingData, LinkingDataModule
from dim.training.identity import OF_METHODS, Identity, described, identity_of
from dim.training.registry import OF_TRAINER, registered
from dim.training.run_folder import settle_run
from dim.training.task import LinkingTask, first_difference
from dim.training.tie_break import Scorer


def open_run(run: Path, device: str = "auto", dataset: Path | None = None, trusted: Sequence[str] = ()) -> LinkingTask:
    """The method of a run with its best weights, ready for `rank` (its data: `.data`).

    Args:
        run: A folder that `dim fit` wrote.
        device: Where it computes.
        dataset: Where its dataset stands now, if it has moved.
        trusted: As of `instantiate_run`.

    Raises:
        ConfigError: There is no finished run.
        CheckpointError: Its data changed since.
        DataError: Its dataset is not where it was, or `dataset` is another one; or as `instantiate_run`.
        ReplacedError: Others took its place each time that it was opened.
    """
    return of_one_folder(run, (CONFIG,), "a run", lambda: _opened(run, device, dataset, trusted))


def _opened(run: Path, device: str, dataset: Path | None, trusted: Sequence[str]) -> LinkingTask:
    task, datamodule = instantiate_run(run, dataset, trusted)
    checkpoint = run / BEST if task.is_trained else None
    if checkpoint is not None and not checkpoint.exists():
        raise ConfigError(f"a trained run at {run} (checkpoints/best.ckpt)", "no checkpoint", "Run dim fit first.")
    if dataset is not None:
        named = open_dataset(datamodule.root, datamodule.cache_dir, datamodule.images)
        check_dataset(run, named, "Name the dataset that the run was fitted on.")
    task.open_for_scoring(datamodule, checkpoint, resolve_device(device))
    if checkpoint is None:  # which would tell it
        check_features(run, task)
    if task.checkpoint is not None:
        task.checkpoint["file"] = BEST.as_posix()
    return task


def check_features(run: Path, task: LinkingTask) -> None:
    """Refuses to take a run for what it was evaluated as, of another KB or by other features.

    Args:
        run: Its folder.
        task: Its method, with its data.

    Raises:
        CheckpointError: Its data changed since, or others are asked for.
    """
    recorded = read_results(run).identity
    if recorded is None:
        return
    known, dataset = dataset_of(run), task.data.dataset
    of_kb = {"kb_hash": known.get("kb_hash", dataset.kb_hash), "dataset_hash": known.get("hash")}
    before = of_kb | recorded.get("features", {})
    now = {"kb_hash": dataset.kb_hash, "dataset_hash": dataset.hash} | task.data.fingerprints
    if (key := first_difference(before, now, task.datamodule.choices)) is not None:
        raise CheckpointError(
            f"the run {run}, whose {key} was {before.get(key, 'not set')}, as it was evaluated",
            str(now.get(key, "not set")),
            "Use it with the data, texts and encoders that it had, or make a run of its own: --run NEW.",
        )


def check_method(run: Path, task: LinkingTask, config: Mapping[str, Any]) -> None:
    """Refuses to evaluate a run under options of its method that are not its own.

    Args:
        run: Its folder.
        task: Its method.
        config: As it is to be evaluated.

    Raises:
        ConfigError: An option that decides answers is another.
    """
    if not (run / CONFIG).exists():
        return
    then, now = (described(each.get("model"), OF_METHODS)["options"] for each in (read_config(run), config))
    deciding = set(then) - task.training_only
    if other := sorted(name for name in deciding if now.get(name, then[name]) != then[name]):
        raise ConfigError(
            f"the run {run} as it was fitted ({other[0]}: {then[other[0]]})",
            f"{other[0]}: {now[other[0]]}",
            "Leave that out, or make a run of its own: --run NEW, with --ckpt_path where it has weights.",
        )


def instantiate_run(
    run: Path, dataset: Path | None = None, trusted: Sequence[str] = ()
) -> tuple[LinkingTask, LinkingDataModule]:
    """The method of a run without weights, and its data module, as its config.yaml says.

    Args:
        run: Its folder.
        dataset: Where its dataset stands now, if it has moved.
        trusted: What the names of classes outside dim may begin with, such as `my_package.`: they are imported.

    Raises:
        ConfigError: There is no config.yaml.
        DataError: There is no dataset where it is looked for; or the configuration names a class that is neither dim's
            nor trusted (`dim.core.known_classes`), or options that this version of dim lacks.
    """
    settle_run(run)
    config = read_config(run)
    if dataset is not None:
        config["data"] |= {"root": str(dataset), "images": None}
    check_places(run, config, "--dataset")
    seed = config.get("seed_everything", 0)
    known = known_to_runs(run, trusted)
    config["data"] |= {"engine": "local", "address": None}  # for who asks to say, not for the run
    model = known.read(config["model"], LinkingTask, "model")
    data = known.read(config["data"], LinkingDataModule, "data")
    for chosen in (model, data):
        if "seed" in signature(chosen.kind).parameters:
            chosen.options["seed"] = seed
    task, datamodule = made(model), made(data)
    datamodule.trusted = known.trusted
    return task, datamodule


def known_to_runs(run: Path, trusted: Sequence[str] = ()) -> KnownClasses:
    """What the model and the data in the config.yaml of a run may name."""
    return KnownClasses((*registered(), LinkingDataModule, RunScorer), trusted, f"a run at {run}")


def known_to_trainers(run: Path, trusted: Sequence[str] = ()) -> KnownClasses:
    """The same of the options of its trainer."""
    return KnownClasses(OF_TRAINER, trusted, f"a run at {run}")


def check_parts(*parts: Any) -> None:
    """Raises DataError where a run's model or data names what is the trainer's, such as a logger, which would begin."""
    names = {kind.__name__ for kind in OF_TRAINER}
    for part in parts:
        for name in class_names(part):
            if name.rpartition(".")[2] in names:
                raise DataError("a model and data that name no part of the trainer", name[:200], "Take it out.")


def classes_of_runs() -> tuple[type, ...]:
    """The classes that the config.yaml of a run may name without anybody's trust."""
    return (*registered(), *OF_TRAINER, LinkingDataModule, RunScorer)


def packages_to_trust(config: Any) -> list[str]:
    """The packages whose classes a run's configuration names, and which its user has to trust by name."""
    known = set(classes_of_runs())
    others = [name for name in class_names(config) if "." in name and imported_class(name) not in known]
    return sorted({name.partition(".")[0] for name in others} - {"dim"})


def check_config(path: Path) -> None:
    """Makes sure, before a parser reads it, that a configuration is of a bounded size and says nothing of trust.

    Raises:
        DataError: It is not; or it names further configurations, which nothing would bound.
    """
    if path.is_dir() or not path.exists():
        return  # the parser says so
    what = f"a configuration at {path}"
    config = read_yaml(path, dict[str, Any], what, "Repair it, or name another.")
    for name in ("trust", "config"):
        if name in config:
            raise DataError(f"{what} without the option {name}", "it", "Take it out: it is of the command line alone.")


def identity_of_run(run: Path, task: LinkingTask) -> Identity:
    """What an opened run is, as it recorded it; of one that was never evaluated as its config.yaml says."""
    recorded = read_results(run).identity
    if recorded is not None:
        return recorded
    return identity_of(read_config(run), task.data.fingerprints, task.parts())


class RunScorer(Scorer):
    """The scores of another run, such as a contrastive one: it makes a hybrid of the method that asks.

    Args:
        run: Its folder, on the same dataset.
        batch_size: Mentions that are scored at once.
    """

    is_model = True
    incidental = frozenset({"run", "batch_size"})

    def __init__(self, run: Path, batch_size: int = 256) -> None:
        self.run, self.batch_size = run, batch_size

    @property
    def name(self) -> str:
        """The run's folder."""
        return str(self.run)

    @property
    def fingerprint(self) -> str:
        """The run's weights; of a method without any, the method and its options."""
        weights = self.run / BEST
        if weights.exists():
            return content_hash(weights.read_bytes())
        method = described(read_config(self.run).get("model"), OF_METHODS)
        return f"no weights, {content_hash(json.dumps(method, sort_keys=True, default=str))}"

    def open(self, data: LinkingData) -> None:
        """Loads the run.

        Raises:
            ConfigError: The run ranks other mentions or another KB, or has no scores of all entities.
        """
        self._task = open_run(self.run, trusted=data.trusted)
        theirs = self._task.data.dataset
        if theirs.hash != data.dataset.hash or not self._task.scores_all:
            raise ConfigError(
                f"a run that scores the entities of {data.dataset.name} ({data.dataset.hash[:8]}) as tie_break",
                f"{type(self._task).__name__} on {theirs.name} ({theirs.hash[:8]}) at {self.run}",
                "Fit a contrastive run on this dataset, or leave tie_break out.",
            )

    def scores(self, mentions: Rows, entities: Rows) -> NDArray[np.float64]:
        """The run's scores of the pairs."""
        unique, which = np.unique(mentions, return_inverse=True)
        found = np.empty(len(mentions))
        with torch.inference_mode():
            for start in range(0, len(unique), self.batch_size):
                rows = torch.from_numpy(unique[start : start + self.batch_size]).to(self._task.device)
                scores = scores_by_slice(self._task.scores_of(rows)).held()
                places = [np.flatnonzero(which == start + number) for number in range(len(rows))]
                values = scores_at(scores, [entities[place] for place in places], rows.device)
                for place, of_mention in zip(places, values, strict=True):
                    found[place] = of_mention
        return found
