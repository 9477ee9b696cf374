"""What a judge gains by the share of mentions that it reads, with what it costs and its control."""

from __future__ import annotations

from typing import Any

from dim.evaluation.results import percent
from dim.report.comparison import Comparison
from dim.report.systems import System

TITLE = "Judged: Top-1 by the share of mentions that a judge reads"
HEAD = ["system", "judge", "mentions\njudged", "Top-1", "gain\np", "ECE", "requests", "tokens", "cost"]
NOTES = [
    "The row at 0% is the ranker alone. p: two-sided paired randomisation against it, not corrected; of the share that "
    "the weights were learned for, and of the control against that.",
    "“Others' texts” is the control: the same candidates with their texts shuffled among them.",
]


def judged_runs(comparison: Comparison) -> list[tuple[System, str, dict[str, Any]]]:
    """The systems of a group that a judge belongs to, what they are called here, and what `dim judge` found.

    Of seeds it is the first one's, and the name says so.
    """
    found = []
    for system in comparison.group.systems:
        judge = (system.runs[0].metrics.get("method") or {}).get("judge") if system.runs else None
        if isinstance(judge, dict) and judge.get("curve"):
            many = len(system.runs)
            label = system.name if many == 1 else f"{system.name}, {system.runs[0].label} of {many}"
            found.append((system, label, judge))
    return found


def judged_rows(comparison: Comparison) -> list[list[str]]:
    """A row for each point of each curve, and one for each control."""
    rows = []
    for _, name, judge in judged_runs(comparison):
        before = judge["before"]["top1"]
        for step in judge["curve"]:
            is_chosen = step["share"] == judge["share"]
            rows.append(
                [
                    name,
                    str(judge["judge"]),
                    f"{step['share']:.0%}",
                    percent(step["top1"]),
                    _gain(step["top1"] - before, judge["p"] if is_chosen else None) if step["share"] else "",
                    f"{step['calibration_error']:.3f}",
                    *(_used(judge) if is_chosen else [""] * 3),
                ]
            )
        if (control := judge.get("control")) is not None:
            gain = _gain(control["top1"] - before, control["p"])
            share, error = f"{judge['share']:.0%}", f"{control['calibration_error']:.3f}"
            label = f"{judge['judge']}, others' texts"
            rows.append([name, label, share, percent(control["top1"]), gain, error, *_used(control)])
    return rows


def _gain(difference: float, p: float | None) -> str:
    return f"{100 * difference:+.1f}" + ("" if p is None else f"\np {p:.4f}")


def _used(found: dict[str, Any]) -> list[str]:
    tokens = found["tokens_in"] + found["tokens_out"]
    cost = "" if found["cost"] is None else f"{found['cost']:,.4f}"
    return [f"{found['requests']:,}" if found["requests"] else "", f"{tokens:,}" if tokens else "", cost]
