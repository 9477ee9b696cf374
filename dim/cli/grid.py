"""The grid of `dim compare`: a YAML file of options of `dim fit`, and which of their settings tune prefers."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.table import Table

from dim.core.folder_files import read_yaml
from dim.display.terminal import Text
from dim.errors import ConfigError
from dim.evaluation.result_files import read_results

LONGEST = 40  #: Characters of a value in a folder's name.


@dataclass(frozen=True)
class Setting:
    """A point of the grid.

    Attributes:
        name: As the folder of its runs has it behind the config's: `width=256+batch_size=64`; empty: no grid.
        options: Of `dim fit`.
    """

    name: str = ""
    options: tuple[str, ...] = ()


def read_grid(path: Path) -> list[Setting]:
    """The settings of a grid.

    Args:
        path: A YAML file: a mapping, option → list of values, of which every combination is one setting; or a list of
            mappings, option → value, each of them one setting.

    Raises:
        ConfigError: It is not there, or is something else.
    """
    if not path.is_file():
        raise ConfigError(f"a grid at --grid {path}", "no such file", "Write one: option of dim fit: [values].")
    found = read_yaml(path, dict[str, Any] | list[dict[str, Any]], f"a grid in {path}", "See docs/how_to/compare.md.")
    if isinstance(found, Mapping):
        if wrong := [name for name, values in found.items() if not isinstance(values, list) or not values]:
            raise ConfigError(f"a list of values of {wrong[0]} in {path}", f"{found[wrong[0]]!r}", "Write [value, …].")
        points = [dict(zip(found, values, strict=True)) for values in product(*found.values())]
    else:
        points = list(found)
    if not points or not all(points):
        raise ConfigError(f"a setting in {path}", "none", "Write option: [values], or a list of mappings.")
    short = _short({option for point in points for option in point})
    names = _unlike([_named(point, short) for point in points])
    return [
        Setting(name, tuple(f"--{option}={_written(value)}" for option, value in point.items()))
        for name, point in zip(names, points, strict=True)
    ]


def _short(options: set[str]) -> dict[str, str]:
    """The last part of each option's name; the whole where two end alike."""
    ends = {option: option.rpartition(".")[2] for option in options}
    many = Counter(ends.values())
    return {option: end if many[end] == 1 else option for option, end in ends.items()}


def _named(point: Mapping[str, Any], short: Mapping[str, str]) -> str:
    return "+".join(f"{short[option]}={_shown(value)}" for option, value in point.items())


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "class_path" in value:
        options = value.get("init_args") or {}
        value = "-".join([str(value["class_path"]).rpartition(".")[2], *(f"{k}-{v}" for k, v in options.items())])
    text = value if isinstance(value, str) else _written(value)
    return re.sub(r"[^\w.-]+", "_", text.replace("/", "_")).strip("_")[:LONGEST] or "empty"


def _written(value: Any) -> str:
    """A value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _unlike(names: Sequence[str]) -> list[str]:
    """The names, numbered where several are alike."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def tune_table(folders: Sequence[Path]) -> Table:
    """What tune says of each system, the best first: what a setting is chosen by, so that dev can judge it.

    Args:
        folders: Of the systems; each holds the run of a seed in `seed<N>`.
    """
    figures = {folder: [f for run in sorted(folder.glob("seed*")) if (f := tune_of(run))] for folder in folders}
    told = sorted((folder for folder in folders if figures[folder]), key=lambda each: -_mean(figures[each], "mrr"))
    table = Table("system", "tune MRR", "tune Top-1", "seeds", title="Settings by tune, at the epoch that was kept")
    for place, folder in enumerate(told):
        cells = [_spread([each[name] for each in figures[folder]]) for name in ("mrr", "top1")]
        style = "bold" if place == 0 else ""
        table.add_row(*(Text(cell, style) for cell in (folder.name, *cells, str(len(figures[folder])))))
    return table


def tune_of(run: Path) -> dict[str, float]:
    """`mrr` and `top1` on tune of the epoch that a run kept; empty: of an unfinished run, or of no training."""
    logs = sorted(run.glob("logs/version_*/metrics.csv"), key=lambda path: int(path.parent.name.rpartition("_")[2]))
    entry = next(iter(read_results(run).entries.values()), None) if (run / "metrics.json").exists() else None
    kept = ((entry or {}).get("checkpoint") or {}).get("epoch", 0) - 1  # the log counts from 0
    for path in reversed(logs):
        with path.open(encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows):
                if row.get("tune/mrr") and row["epoch"] == str(kept):
                    return {"mrr": float(row["tune/mrr"]), "top1": float(row["tune/top1"])}
    return {}


def _mean(figures: Sequence[Mapping[str, float]], name: str) -> float:
    return mean(each[name] for each in figures)


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{spread}"
