"""One finished run, read and checked, or why it cannot be compared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dim.errors import DataError
from dim.evaluation.metrics import summarize_ranks
from dim.evaluation.result_files import FORMAT, RANKS, Results, foreign_ranks, read_results
from dim.report.weights import changed_weights
from dim.training.run_folder import SEED, UNFINISHED

DEPTH = 4  #: Levels of folders below a given one that are searched.
NEEDED = ("dataset", "dataset_hash", "kb_hash", "kb_size", "protocol", "n", "split", "top1", "mrr", "model")
COLUMNS_NEEDED = ("mention_id", "split", "gold", "rank")
#: What only a run folder holds.
TRACES = ("config.yaml", "ranks.parquet", "checkpoints")


@dataclass(frozen=True)
class Run:
    """The results of one run on one split, under one protocol.

    Attributes:
        folder: The run's folder.
        metrics: Its entry of `metrics.json` for them.
        ranks: Its rows of `ranks.parquet` for them that have a gold, by mention id.
        identity: What the run is.
    """

    folder: Path
    metrics: dict[str, Any]
    ranks: pd.DataFrame
    identity: dict[str, Any]

    @property
    def system_folder(self) -> Path:
        """What the folders of its seeds share: RUN of RUN/seed0, RUN/ranked of RUN/seed0/ranked; else its own."""
        folder, parent = self.folder, self.folder.parent
        if SEED.fullmatch(folder.name):
            return parent
        return parent.parent / folder.name if SEED.fullmatch(parent.name) else folder

    @property
    def label(self) -> str:
        """What tells it from the other seeds of its system: seed0 of RUN/seed0 and of RUN/seed0/ranked."""
        return self.folder.parent.name if SEED.fullmatch(self.folder.parent.name) else self.folder.name


@dataclass(frozen=True)
class Problem:
    """A folder that is not compared: why, and what to do about it."""

    folder: Path
    reason: str
    remedy: str


def find_runs(path: Path) -> tuple[list[Path], list[Problem]]:
    """The folders with a metrics.json at or below `path` (four levels deep), and folders where one should be.

    Folders that a run made for its logs, and hidden ones, are left aside.
    """
    if not path.is_dir():
        what = "is a file, no folder" if path.exists() else "no such folder"
        return [], [Problem(path, what, "Give the --run folder of a finished run.")]
    found: list[Path] = []
    problems: list[Problem] = []
    for folder in _walk(path, 0):
        if not os.access(folder, os.R_OK | os.X_OK):
            problems.append(Problem(folder, "no permission to read it", "Change its permissions."))
            continue
        children = {child.name for child in folder.iterdir()}
        if UNFINISHED in children:
            problems.append(Problem(folder, "its training did not end", "Go on with it: dim fit … --ckpt_path last"))
        elif "metrics.json" in children:
            found.append(folder)
        elif not children:
            problems.append(Problem(folder, "empty folder", "Run dim fit with it as --run, or remove it."))
        elif children & set(TRACES) or SEED.fullmatch(folder.name):
            problems.append(
                Problem(folder, "no metrics.json: the run did not finish", "Go on with it: dim fit … --ckpt_path last")
            )
    if not found and not problems:
        problems.append(Problem(path, "no metrics.json at or below it", "Give the --run folder of a finished run."))
    return found, problems


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    yield folder
    is_run = any((folder / name).exists() for name in ("metrics.json", *TRACES))
    if depth == DEPTH or not os.access(folder, os.R_OK | os.X_OK):
        return
    for child in sorted(child for child in folder.iterdir() if child.is_dir()):
        made_by_run = is_run and not SEED.fullmatch(child.name) and not (child / "metrics.json").exists()
        if not child.name.startswith(".") and not made_by_run:
            yield from _walk(child, depth + 1)


def read_run(folder: Path, split: str, protocol: str | None = None) -> Run | Problem:
    """The run's results on a split, or the reason why they cannot be used.

    Args:
        folder: The run.
        split: The split.
        protocol: The protocol; None: the run's own.
    """
    again = f"Run dim {'test' if split == 'test' else 'validate'} --config {folder / 'config.yaml'} again."
    try:
        results = read_results(folder)
    except DataError as error:
        return Problem(folder, error.found, again)
    metrics = results.entry(split, protocol)
    if not isinstance(metrics, dict):
        return Problem(folder, _what_there_is(results, split, protocol), _how_to_get(results, split, protocol, again))
    version = metrics.get("format", 1)
    if version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        remedy = "Update dim." if newer else again
        return Problem(
            folder, f"results of {'a newer' if newer else 'an older'} format ({version}, not {FORMAT})", remedy
        )
    missing = [key for key in NEEDED if key not in metrics]
    if missing or results.identity is None:
        return Problem(folder, f"metrics.json lacks {', '.join(missing) or 'the identity of its run'}", again)
    if changed := changed_weights(folder, metrics):
        return Problem(folder, *changed)
    ranks = _read_ranks(results, split, results.label(split, protocol))
    if isinstance(ranks, str):
        return Problem(folder, ranks, again)
    reason = _disagreement(metrics, ranks)
    return Problem(folder, reason, again) if reason else Run(folder, metrics, ranks, results.identity)


def _how_to_get(results: Results, split: str, protocol: str | None, again: str) -> str:
    """What gives the results that a run lacks: the label of those that are meant, or the command that writes them."""
    near = [label for label in results.labels(split) if protocol and label.startswith(protocol.lower())]
    if near:
        return f'Name it whole: --protocol "{near[0]}".'
    if split not in ("dev", "test"):
        return "Name --split dev or test; dim show and the logs tell of others."
    return again.replace(" again", "")


def _what_there_is(results: Results, split: str, protocol: str | None) -> str:
    protocols = results.labels(split)
    if not protocols:
        return f"no results on {split} (there are: {', '.join(results.splits) or 'none'})"
    which = "of its own weights" if protocol is None else f"under {protocol}"
    return f"no results on {split} {which} (there are: {'; '.join(protocols)})"


def _read_ranks(results: Results, split: str, label: str) -> pd.DataFrame | str:
    if not (results.folder / RANKS).exists():
        return "no ranks.parquet beside its metrics.json"
    try:
        ranks = results.all_ranks()
    except DataError as error:
        return f"ranks.parquet cannot be read ({error.found})"
    if missing := [column for column in COLUMNS_NEEDED if column not in ranks]:
        return f"ranks.parquet lacks the column {', '.join(missing)}"
    is_asked = (ranks["split"] == split) & (ranks["protocol"] == label)
    ranks = ranks[is_asked]
    reason = (
        foreign_ranks(results.entries[split, label], ranks) if pd.api.types.is_numeric_dtype(ranks["rank"]) else None
    )
    ranks = ranks[ranks["gold"].notna()].sort_values("mention_id", ignore_index=True)
    if ranks.empty:
        return f"ranks.parquet holds no mention of {split} with a gold"
    twice = ranks["mention_id"][ranks["mention_id"].duplicated()]
    if len(twice):
        return f"ranks.parquet holds {len(twice)} mentions twice, such as {twice.iloc[0]}"
    if (ranks["rank"] < 1).any():
        return f"ranks.parquet holds ranks below 1 ({ranks['rank'].min():g})"
    return reason or ranks


def _disagreement(metrics: dict[str, Any], ranks: pd.DataFrame) -> str | None:
    """What metrics.json says that ranks.parquet does not bear out, or None."""
    if metrics["n"] != len(ranks):
        return f"metrics.json speaks of {metrics['n']} mentions, ranks.parquet holds {len(ranks)}"
    for column, value in summarize_ranks(ranks["rank"]).items():
        said = metrics.get(column)
        if said is not None and not np.isclose(said, value, atol=1e-6):
            return f"metrics.json says {column} = {said:.4f}, ranks.parquet gives {value:.4f}"
    return None
