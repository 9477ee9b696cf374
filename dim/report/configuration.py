"""What makes a run the system that it is: its options, without seeds, places and machines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dim.report.runs import Run

#: Options that may differ between seeds of one system: seeds, places and machines. The encoders' paths are among
#: them because `features` holds their fingerprints.
INCIDENTAL = {
    *("seed", "seed_everything", "run", "root", "path", "cache_dir", "ckpt_path", "config", "overwrite", "logger"),
    *("default_root_dir", "accelerator", "devices", "num_workers", "enable_progress_bar", "predict_split"),
}


def by_configuration(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs by their configuration, seeds and places aside."""
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(json.dumps(identity(run), sort_keys=True), []).append(run)
    return list(parts.values())


def identity(run: Run) -> dict[str, Any]:
    """Everything that makes the run what it is, flat: options, features, model and name; no seed, no place."""
    options = flatten(run.metrics.get("config") or {})
    facts = {"model": run.metrics.get("model"), "system": run.metrics.get("system")}
    features = flatten(run.metrics.get("features") or {}, "features.")
    for repeated in ("features.shuffle", "features.leave_out"):  # they stand among the options
        features.pop(repeated, None)
    return {key: value for key, value in options.items() if not INCIDENTAL & set(key.split("."))} | facts | features


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options with dotted keys.

    Example:
        >>> flatten({"data": {"root": "d"}, "run": "r"})
        {'data.root': 'd', 'run': 'r'}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def differences(a: Run, b: Run, limit: int = 5) -> str:
    """The options in which two runs differ, with both values."""
    first, second = identity(a), identity(b)
    keys = [key for key in sorted({*first, *second}) if first.get(key) != second.get(key)]
    shown = ", ".join(f"{key} {first.get(key)} → {second.get(key)}" for key in keys[:limit])
    return shown + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
