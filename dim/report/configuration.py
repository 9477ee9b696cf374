"""Which runs are one system: those that are the same, by the identity that each recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from dim.report.runs import Run


def by_configuration(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs by what they are."""
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(json.dumps(run.identity, sort_keys=True, default=str), []).append(run)
    return list(parts.values())


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
    first, second = flatten(a.identity), flatten(b.identity)
    keys = [key for key in sorted({*first, *second}) if first.get(key) != second.get(key)]
    shown = ", ".join(f"{key} {first.get(key)} → {second.get(key)}" for key in keys[:limit])
    return shown + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
