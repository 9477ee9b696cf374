"""`dim report`: any number of runs in one table, seeds together, with a paired test against the first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from dim.errors import DataError
from dim.evaluation.metrics import summarize_ranks
from dim.evaluation.significance import paired_randomization
from dim.results import BASELINES, COLUMNS, HEADINGS, percent, title_of

FILE_WIDTH = 140  #: Columns where the output is no terminal.
SAME = ("dataset", "dataset_hash", "kb_hash", "protocol", "n")  #: What runs must share to stand in one table.


@dataclass
class System:
    """The runs of one configuration over seeds.

    Attributes:
        name: Its folder, without the seed.
        metrics: One `metrics.json` entry of the split a seed.
        ranks: One table a seed, in the order of the mentions; NIL rows left out.
    """

    name: str
    metrics: list[dict[str, Any]]
    ranks: list[pd.DataFrame]

    def hits(self, k: int = 1, where: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """The share of seeds [n] that rank each mention's gold within k."""
        shares = np.mean([(frame["rank"] <= k).to_numpy(dtype=float) for frame in self.ranks], axis=0)
        chosen: NDArray[np.float64] = shares if where is None else shares[where]
        return chosen


def report(runs: list[Path], split: str = "dev", by: str | None = None) -> None:
    """Compares runs: Top-k and MRR, mean and spread over seeds, and a paired test against the first system.

    Runs in sibling folders named seed0, seed1 … are one system. Runs of another dataset, KB or protocol are refused.

    Args:
        runs: Run folders, or folders that hold run folders; one after another, or as a JSON list.
        split: The split to compare on.
        by: A column of ranks.parquet (such as `type` or `seen_in_train`) to break Top-1 down by.
    """
    systems = read_systems(runs, split)
    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    console.print(comparison(systems))
    if by is not None:
        console.print(breakdown(systems, by))


def read_systems(runs: list[Path], split: str) -> list[System]:
    """Reads the runs and puts the seeds of one configuration together.

    Raises:
        DataError: A folder holds no results of the split, or results that do not compare.
    """
    systems: dict[str, System] = {}
    first: dict[str, Any] | None = None
    for run in [found for path in runs for found in find_runs(path)]:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["splits"].get(split)
        if metrics is None:
            raise DataError(
                f"results on {split} in {run}", "none", f"Run dim {'test' if split == 'test' else 'validate'} on it."
            )
        first = first or metrics
        for key in SAME:
            if metrics[key] != first[key]:
                raise DataError(
                    f"runs of the same {key} ({first[key]})",
                    f"{metrics[key]} in {run}",
                    "Compare it in a report of its own.",
                )
        ranks = pd.read_parquet(run / "ranks.parquet")
        ranks = ranks[(ranks["split"] == split) & ranks["gold"].notna()].sort_values("mention_id", ignore_index=True)
        name = str(run.parent if run.name.startswith("seed") else run)
        system = systems.setdefault(name, System(name, [], []))
        system.metrics.append(metrics)
        system.ranks.append(ranks)
    return list(systems.values())


def find_runs(path: Path) -> list[Path]:
    """The run folders at or below `path`. Raises DataError where there is none."""
    found = [path] if (path / "metrics.json").exists() else sorted(p.parent for p in path.glob("*/metrics.json"))
    if not found:
        raise DataError(
            f"a run folder at {path} (with a metrics.json)", "none", "Give the --run folder of a finished run."
        )
    return found


def comparison(systems: list[System]) -> Table:
    """Top-k and MRR a system, beside the string floor and the frozen vectors of the same mentions."""
    head = systems[0].metrics[0]
    table = Table(
        title=title_of(head),
        caption="± standard deviation over seeds; p: paired randomisation test of Top-1 against the first run,\n"
        "whose features the frozen vectors are",
    )
    for column in ("", "seeds", *HEADINGS.values(), "p"):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=column != "")
    for key, name in BASELINES.items():
        table.add_row(name, "", *(percent(head[key][column]) for column in COLUMNS), "")
    for system in systems:
        values = {column: np.array([metrics[column] for metrics in system.metrics]) for column in COLUMNS}
        p = "" if system is systems[0] else f"{paired_randomization(systems[0].hits(), system.hits()):.4f}"
        table.add_row(system.name, str(len(system.metrics)), *(spread(values[c]) for c in COLUMNS), p)
    return table


def spread(shares: NDArray[np.float64]) -> str:
    """The mean as per cent, with the standard deviation where there is more than one seed."""
    mean = percent(float(shares.mean()))
    return mean if len(shares) < 2 else f"{mean} ± {100 * shares.std(ddof=1):.1f}"


def breakdown(systems: list[System], by: str) -> Table:
    """Top-1 a system for each value of a column.

    Raises:
        DataError: There is no such column.
    """
    frame = systems[0].ranks[0]
    if by not in frame:
        raise DataError(
            f"a column of ranks.parquet ({', '.join(frame.columns)})", repr(by), "Choose one of them with --by."
        )
    values = frame[by].astype(str)
    table = Table(title=f"Top-1 by {by}")
    table.add_column("")
    for value, count in values.value_counts().sort_index().items():
        table.add_column(f"{value}\n(n {count})", justify="right")
    groups = [(values == value).to_numpy() for value in sorted(values.unique())]
    for key, name in BASELINES.items():
        ranks = frame[f"{key}_rank"]
        table.add_row(name, *(percent(summarize_ranks(ranks[group])["top1"]) for group in groups))
    for system in systems:
        table.add_row(system.name, *(percent(float(system.hits(where=group).mean())) for group in groups))
    return table
