"""The grid of `dim compare`: a YAML file of options of `dim fit`, and which of their settings tune prefers."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.table import Column, Table

from dim.core.folder_files import read_yaml
from dim.core.wrong_line import split_line
from dim.display.terminal import Text
from dim.errors import ConfigError
from dim.evaluation.result_files import read_results

LONGEST = 40  #: Characters of a value in a folder's name.
MOST_BYTES = 150  #: Of a setting, in the folder's name.
#: Options of `dim fit` that `dim compare` gives each run itself.
OWN = frozenset({"config", "c", "seed_everything", "run", "overwrite", "ckpt_path"})


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
    points = [{option.lstrip("-"): value for option, value in point.items()} for point in points]
    short = _short({option for point in points for option in point})
    options = [tuple(f"--{option}={written(value, option)}" for option, value in point.items()) for point in points]
    names = _unlike([_named(point, short) for point in points], options)
    return [Setting(name, of) for name, of in zip(names, options, strict=True)]


def check_settings(extra: Sequence[str], settings: Sequence[Setting]) -> None:
    """Raises ConfigError where an option is one that `dim compare` gives itself, or stands in the grid and beside it.

    Args:
        extra: Those of every run.
        settings: Of the grid.
    """
    beside = {name for name, _ in split_line(extra) if name is not None}
    of_grid = {name for setting in settings for name, _ in split_line(setting.options) if name is not None}
    if own := sorted((beside | of_grid) & OWN):
        found = "in the grid" if own[0] in of_grid else "in --options"
        remedy = "Take it out: --seeds says how many, --runs where they stand, and the configs come first."
        raise ConfigError(f"options without --{own[0]}, which each run gets from dim compare", found, remedy)
    if twice := sorted(beside & of_grid):
        raise ConfigError(f"--{twice[0]} in the grid, or in --options", "in both", "Take it out of one of them.")


def _short(options: set[str]) -> dict[str, str]:
    """The last part of each option's name; the whole where two end alike."""
    ends = {option: option.rpartition(".")[2] for option in options}
    many = Counter(ends.values())
    return {option: end if many[end] == 1 else option for option, end in ends.items()}


def _named(point: Mapping[str, Any], short: Mapping[str, str]) -> str:
    name = "+".join(f"{short[option]}={_shown(value)}" for option, value in point.items())
    written = name.encode()  # file systems count bytes: 255
    return name if len(written) <= MOST_BYTES else f"{written[:MOST_BYTES].decode(errors='ignore')}-{_mark(name)}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "class_path" in value:
        options = value.get("init_args")
        told = [f"{k}-{v}" for k, v in options.items()] if isinstance(options, Mapping) else []
        value = "-".join([str(value["class_path"]).rpartition(".")[2], *told])
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    name = re.sub(r"[^\w.-]+", "_", text.replace("/", "_")).strip("_") or "empty"
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}-{_mark(text)}"


def _mark(text: str) -> str:
    """Letters by which a text is told from others; the same whatever else a grid has."""
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def written(value: Any, option: str) -> str:
    """A value as the command line takes it."""
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except TypeError as error:  # YAML has dates
        raise ConfigError(
            f"texts, numbers, lists or mappings of {option}", f"{value}", "Put it into quotes."
        ) from error


def _unlike(names: Sequence[str], options: Sequence[tuple[str, ...]]) -> list[str]:
    """The names, each other than those before it."""
    found: dict[str, tuple[str, ...]] = {}
    for name, of in zip(names, options, strict=True):
        if of in found.values():
            raise ConfigError("a grid of settings that differ", f"{' '.join(of)} twice", "Take one of them out.")
        found[name if name not in found else f"{name}-{_mark(' '.join(of))}"] = of
    return list(found)


def tune_table(folders: Sequence[Path]) -> Table:
    """What tune says of each system, the best first: what a setting is chosen by, so that dev can judge it.

    Args:
        folders: Of the systems; each holds the run of a seed in `seed<N>`.
    """
    figures = {folder: [f for run in sorted(folder.glob("seed*")) if (f := tune_of(run))] for folder in folders}
    told = sorted((folder for folder in folders if figures[folder]), key=lambda each: -_mean(figures[each], "mrr"))
    system = Column("system", overflow="fold")  # settings differ in the end of their names
    table = Table(system, "tune MRR", "tune Top-1", "seeds", title="Settings by tune, at the epoch that was kept")
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
