"""A run with its ranker, for what comes after one."""

from __future__ import annotations

from pathlib import Path

from dim.errors import ConfigError
from dim.linker.run_ranker import ranker_of_run
from dim.reranker.finder import Finder
from dim.reranker.ranker import Ranker
from dim.training.saved_run import open_run
from dim.training.task import LinkingTask


def open_ranked(
    run: Path, device: str, dataset: Path | None, trusted: tuple[str, ...]
) -> tuple[LinkingTask, Ranker, Finder]:
    """The method of a run, its ranker, and what finds candidates as the ranker was trained with.

    Raises:
        ConfigError: It has no ranker.
    """
    task = open_run(run, device, dataset, trusted)
    ranker = ranker_of_run(run, task)
    if ranker is None:
        raise ConfigError(f"a run with a ranker at {run}", "none", f"Train it first: dim rank --run {run}.")
    return task, ranker, Finder(task, int(ranker.facts["num_candidates"]))
