"""Run folders put together: seeds of one configuration are a system, systems of one question are a group."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dim.errors import DataError
from dim.evaluation.results import BASELINES
from dim.report.configuration import by_configuration, differences
from dim.report.runs import Problem, Run, find_runs, read_run
from dim.report.systems import Group, System, make_baselines, make_system

#: What runs must share to stand in one table.
SAME = ("dataset", "dataset_hash", "kb_hash", "kb_size", "protocol", "n", "split")


@dataclass
class Reading:
    """What was found: groups to compare, folders that are not compared, and what a reader should know."""

    groups: list[Group]
    problems: list[Problem]
    notes: list[str]


def read_systems(paths: Sequence[Path], split: str, protocol: str | None = None) -> Reading:
    """Reads all runs at or below the paths and puts together what belongs together.

    Without a protocol each run stands with its own: that under which `fit` evaluated it.

    A folder that is named twice stands twice (a run against itself); one found below two paths stands once.

    Raises:
        DataError: No folder holds results that can be used; it names each with its reason.
    """
    problems: list[Problem] = []
    runs: list[tuple[str, Run]] = []
    seen: set[tuple[Path, int]] = set()
    named: dict[Path, int] = {}
    for path in paths:
        again = named[path.resolve()] = named.get(path.resolve(), -1) + 1
        folders, missing = find_runs(path)
        problems += missing if not again else []
        for folder in folders:
            if (folder.resolve(), again) in seen:
                continue
            seen.add((folder.resolve(), again))
            outcome = read_run(folder, split, protocol)
            if isinstance(outcome, Run):
                runs.append((" (again)" * again, outcome))
            elif not again:
                problems.append(outcome)
    if not runs:
        listed = "; ".join(f"{p.folder}: {p.reason}" for p in problems[:5]) or "no folder was given"
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        remedy = problems[0].remedy if problems else "Name the folders of finished runs."
        under = f" under {protocol}" if protocol else ""
        raise DataError(f"results on {split}{under} in the run folders", listed + more, remedy)
    notes: list[str] = []
    groups = [make_group(members, notes) for members in by_question(runs)]
    notes += [_why_apart(group, groups[0]) for group in groups[1:]]
    return Reading(groups, problems, notes)


def by_question(runs: Iterable[tuple[str, Run]]) -> list[list[tuple[str, Run]]]:
    """The runs by what they were asked: dataset, KB, protocol, split and the very mentions with their golds."""
    groups: dict[str, list[tuple[str, Run]]] = {}
    for suffix, run in runs:
        asked = pd.util.hash_pandas_object(run.ranks[["mention_id", "gold"]].astype(str), index=False).sum()
        key = json.dumps([*(run.metrics[name] for name in SAME), str(asked)])
        groups.setdefault(key, []).append((suffix, run))
    return list(groups.values())


def make_group(members: list[tuple[str, Run]], notes: list[str]) -> Group:
    """The group of runs that share their question; appends to `notes` where siblings are not one system."""
    folders: dict[tuple[Path, str], list[Run]] = {}
    for suffix, run in members:
        folders.setdefault((run.system_folder, suffix), []).append(run)
    systems: list[System] = []
    root = _common_root([folder for folder, _ in folders])
    for (folder, suffix), runs in folders.items():
        parts = by_configuration(runs)
        for part in parts:
            shown = part[0].metrics.get("system") or os.path.relpath(folder.absolute(), root)
            seeds = f" [{', '.join(run.label for run in part)}]" if len(parts) > 1 else ""
            systems.append(make_system(f"{shown}{seeds}{suffix}", folder, part))
        for part in parts[1:]:
            changed = differences(parts[0][0], part[0])
            notes.append(
                f"{folder}: {', '.join(run.label for run in part)} is not the same system as "
                f"{parts[0][0].label} and stands alone: {changed}"
            )
        seeds_used = [run.metrics.get("seed") for run in runs if run.metrics.get("seed") is not None]
        if len(set(seeds_used)) < len(seeds_used):
            notes.append(f"{folder}: several of its runs have the same seed, so their spread says too little")
    _make_unique(systems)
    first = members[0][1]
    return Group(first.metrics, first.ranks, systems, make_baselines(systems))


def _common_root(folders: list[Path]) -> str:
    absolute = [folder.absolute() for folder in folders]
    return os.path.commonpath([folder.parent for folder in absolute])


def _make_unique(systems: list[System]) -> None:
    names = [*(system.name for system in systems), *BASELINES.values()]
    for system in systems:
        if names.count(system.name) > 1:
            system.name = f"{system.name} ({system.folder})"


def _why_apart(group: Group, first: Group) -> str:
    names = ", ".join(system.name for system in group.systems)
    keys = [key for key in SAME if group.head[key] != first.head[key]]
    changed = ", ".join(f"{key} {group.head[key]} instead of {first.head[key]}" for key in keys)
    return f"{names}: in a table of its own, for it is another question ({changed or 'other mentions or golds'})"
