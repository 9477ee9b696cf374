"""Which runs are one system: those that are the same, by the identity that each recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dim.report.runs import Run

if TYPE_CHECKING:
    from dim.training.identity import Identity

#: Controls that results of format 2 may name among the options alone.
CONTROLS = ("leave_out", "shuffle", "blank")


def by_configuration(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs by what they are."""
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(json.dumps(identity(run), sort_keys=True, default=str), []).append(run)
    return list(parts.values())


def identity(run: Run) -> Identity:
    """What a run is: as it recorded it; of results of format 2, which did not, as their options say."""
    return told_by_options(run.metrics) if run.identity is None else run.identity


def told_by_options(metrics: Mapping[str, Any]) -> Identity:
    """What a run of format 2 is, by the options and features that stand with its figures.

    Args:
        metrics: Its entry of metrics.json.
    """
    from dim.training.identity import identity_of
    from dim.training.saved_run import classes_of_runs

    classes_of_runs()  # the names in it are looked up among what is imported; it takes a second

    config = metrics.get("config") or {}
    data = config.get("data") or {}
    controls = {name: ", ".join(data[name]) for name in CONTROLS if data.get(name)}
    model = (metrics.get("method") or {}).get("language_model") or {}
    parts = {"language_model": model["fingerprint"]} if "fingerprint" in model else {}
    ranker = {"ranker": config["rank"]} if "rank" in config else {}
    found = identity_of(config, controls | (metrics.get("features") or {}), parts) | ranker
    return found | {name: metrics[name] for name in ("model", "system") if metrics.get(name)}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts with dotted keys.

    Example:
        >>> flatten({"method": {"class": "DIM"}, "seed": 0})
        {'method.class': 'DIM', 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def differences(a: Run, b: Run, limit: int = 5) -> str:
    """The facts in which two runs differ, with both values."""
    first, second = flatten(identity(a)), flatten(identity(b))
    keys = [key for key in sorted({*first, *second}) if first.get(key) != second.get(key)]
    shown = ", ".join(f"{key} {first.get(key)} → {second.get(key)}" for key in keys[:limit])
    return shown + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
