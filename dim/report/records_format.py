"""A report as CSV: one number a row, for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pandas as pd

from dim.display.spreadsheet import spreadsheet_writer
from dim.evaluation.results import COLUMNS
from dim.report.comparison import Estimate, Test
from dim.report.contents import Contents, Part

COLUMNS_OF_CSV = [
    *("dataset", "dataset_hash", "split", "protocol", "kb_size", "kb_hash", "n", "kind", "system", "seeds"),
    *("breakdown", "part", "part_n", "metric", "value", "low", "high", "std"),
    *("reference", "p", "p_holm", "wins", "ties", "losses", "note"),
]


def as_csv(contents: Contents) -> str:
    """The report as CSV with the columns `COLUMNS_OF_CSV`; shares between 0 and 1, folders left out as rows too.

    `kind` is `run`, `baseline`, `difference`, `text difference`, `quoted` or `not compared`.
    """
    rows = [row for part in contents.parts for row in _part_rows(part)]
    rows += [
        {"kind": "not compared", "system": str(problem.folder), "note": f"{problem.reason}. {problem.remedy}"}
        for problem in contents.problems
    ]
    file = StringIO()
    write = spreadsheet_writer(file)
    write(COLUMNS_OF_CSV)
    for row in rows:
        write(_cell(row.get(column)) for column in COLUMNS_OF_CSV)
    return file.getvalue()


def _cell(value: Any) -> str:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _part_rows(part: Part) -> Iterator[dict[str, Any]]:
    comparison = part.comparison
    head = {key: comparison.group.head[key] for key in COLUMNS_OF_CSV[:7]}
    for row in comparison.group.rows:
        about = {**head, "kind": "run" if row.runs else "baseline", "system": row.name, "seeds": len(row.runs) or None}
        for column in COLUMNS:
            found = comparison.estimates[row.name].get(column)
            yield {**about, "metric": column, **(_numbers(found) if found else {"note": "n/a"})}
        if row.runs:
            recalls = [float(found) for run in row.runs if (found := run.metrics.get("candidate_recall")) is not None]
            if recalls:
                yield {**about, "metric": "candidate_recall", "value": sum(recalls) / len(recalls)}
        for breakdown in part.breakdowns:
            for place, piece in enumerate(breakdown.bins):
                where = {"breakdown": breakdown.column, "part": piece.label, "part_n": piece.n, "metric": "top1"}
                yield {**about, **where, **_numbers(breakdown.estimates[row.name][place])}
    for breakdown in part.breakdowns:
        if breakdown.note:
            yield {**head, "breakdown": breakdown.column, "note": breakdown.note}
    for test in comparison.tests.values():
        yield {**head, "kind": "difference", **_test(test)}
    for model in part.texts:
        for test in (*model.tests.values(), *model.own_text.values()):
            yield {**head, "kind": "text difference", **_test(test)}
    if part.quoted is not None:
        yield from _quoted_rows(part.quoted, {key: head[key] for key in ("dataset", "protocol", "kb_size")})


def _quoted_rows(table: pd.DataFrame, head: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in table.to_dict("records"):
        note = f"{row['protocol_note']}; {row['source']}"
        for column in COLUMNS:
            if not math.isnan(row[column]):
                about = {**head, "kind": "quoted", "system": row["model"]}
                yield {**about, "metric": column, "value": row[column], "note": note}


def _numbers(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "std": estimate.spread}


def _test(test: Test) -> dict[str, Any]:
    return {
        "system": test.system,
        "metric": "top1",
        **_numbers(test.difference),
        "reference": test.reference,
        "p": test.p,
        "p_holm": test.adjusted,
        "wins": test.wins,
        "ties": test.ties,
        "losses": test.losses,
    }
