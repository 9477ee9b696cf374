"""The tables of a report as text, the same for every format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dim.evaluation.results import COLUMNS, HEADINGS, percent
from dim.report.breakdown import Breakdown
from dim.report.comparison import Comparison, Estimate, Test
from dim.report.contents import Contents, Part
from dim.report.judged import HEAD, NOTES, TITLE, judged_rows
from dim.report.published import NONE
from dim.report.texts import SideBySide


@dataclass
class Grid:
    """A table of text.

    Attributes:
        title: What stands above it.
        head: Column heads; a line break starts a second line.
        rows: Cells as text; a line break starts a second, smaller line.
        num_labels: Leading columns that are words, set to the left.
        notes: Sentences below it.
    """

    title: str
    head: list[str]
    rows: list[list[str]]
    num_labels: int = 1
    notes: list[str] = field(default_factory=list)


def estimate_text(estimate: Estimate | None) -> str:
    r"""The mean ± spread, and the interval on a second line; n/a where the protocol gives no value.

    Example:
        >>> estimate_text(Estimate(0.5, 0.25, 0.75, 0.01))
        '50.0 ± 1.0\n[25.0, 75.0]'
    """
    if estimate is None or math.isnan(estimate.value):
        return "n/a"
    spread = "" if math.isnan(estimate.spread) else f" ± {100 * estimate.spread:.1f}"
    return f"{percent(estimate.value)}{spread}\n[{percent(estimate.low)}, {percent(estimate.high)}]"


def difference_text(estimate: Estimate) -> str:
    """A difference in points with its sign, and the interval on a second line."""
    return f"{100 * estimate.value:+.1f}\n[{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def p_text(p: float) -> str:
    """A p-value with four decimals.

    Example:
        >>> p_text(0.00004), p_text(1.0)
        ('<0.0001', '1.0000')
    """
    return "<0.0001" if p < 0.00005 else f"{p:.4f}"


def heading_of(head: dict[str, Any]) -> str:
    """What a group is about: dataset, split and number of mentions."""
    nil = f", {head['num_nil']:,} NIL left out" if head.get("num_nil") else ""
    return f"{head['dataset']} · {head['split']} · {head['protocol']} · n {head['n']:,}{nil}"


def kb_of(head: dict[str, Any]) -> tuple[str, str]:
    """The KB's size and hash, for column heads."""
    return f"KB {head['kb_size']:,}", str(head["kb_hash"])[:8]


def grids_of(part: Part, columns: Sequence[str] | None = None) -> list[tuple[str, list[Grid]]]:
    """The sections of a group: their headings and tables.

    Args:
        part: The group.
        columns: The breakdowns that are shown; None: all that the report holds.
    """
    breakdowns = [found for found in part.breakdowns if columns is None or found.column in columns]
    sections = [("Comparison", [comparison_grid(part.comparison), tests_grid(part.comparison)])]
    sections.append(("Entity texts side by side", texts_grids(part)))
    if breakdowns:
        sections.append(("Top-1 by kind of mention", [breakdown_grid(part.comparison, found) for found in breakdowns]))
    if rows := judged_rows(part.comparison):
        sections.append(("Judged", [Grid(TITLE, HEAD, rows, num_labels=2, notes=list(NOTES))]))
    if part.quoted is not None:
        sections.append(("Published figures (quoted)", [quoted_grid(part)]))
    return sections


def comparison_grid(comparison: Comparison) -> Grid:
    """Top-k, MRR and candidate recall, a row each."""
    group, kb = comparison.group, "\n".join(kb_of(comparison.group.head))
    head = ["system", "seeds", *(f"{title}\n{kb}" for title in HEADINGS.values()), "candidate\nrecall"]
    rows = []
    for row in group.rows:
        estimates = comparison.estimates[row.name]
        cells = [row.name, str(len(row.runs)) if row.runs else ""]
        cells += [estimate_text(estimates.get(column)) for column in COLUMNS]
        cells.append("\n".join(dict.fromkeys(percent(run.metrics.get("candidate_recall")) for run in row.runs)))
        rows.append(cells)
    ties = [f"{s.name} {max(run.metrics.get('ties') or 0 for run in s.runs):,}" for s in group.systems]
    notes = [f"Mentions where other entities tie with the gold (at most, over seeds): {'; '.join(ties)}."]
    shared = group.head["n"] - comparison.bootstrap.num_clusters
    notes.append(
        f"{shared:,} of {group.head['n']:,} mentions share their image with an earlier one."
        if "image" in group.frame
        else "These runs do not say which mentions share an image; each mention was drawn alone."
    )
    if short := [s.name for s in group.systems if s.undefined and s.misses_golds]:
        notes.append(f"A gold beyond their answers counts 0 in MRR, a lower bound then: {'; '.join(short)}.")
    return Grid(heading_of(group.head), head, rows, num_labels=1, notes=notes)


def tests_grid(comparison: Comparison) -> Grid:
    """Every system against the reference on Top-1; no row where there is one system only."""
    size, kb_hash = kb_of(comparison.group.head)
    head = ["system", f"Δ Top-1\n{size}\n{kb_hash}", "p", "p (Holm)", "win/tie/loss"]
    rows = [[test.system, *test_cells(test)] for test in comparison.tests.values()]
    return Grid(f"Top-1 against {comparison.reference.name}", head, rows, num_labels=1)


def test_cells(test: Test) -> list[str]:
    """Difference, p, corrected p and win/tie/loss of a row."""
    counts = f"{test.wins}/{test.ties}/{test.losses}"
    return [difference_text(test.difference), p_text(test.p), p_text(test.adjusted), counts]


def breakdown_grid(comparison: Comparison, breakdown: Breakdown) -> Grid:
    """Top-1 a row and bin, with n in the heads; only a note where there are no bins."""
    head = ["system", *(f"{part.label}\nn {part.n:,}" for part in breakdown.bins)]
    rows = [[name, *map(estimate_text, cells)] for name, cells in breakdown.estimates.items()]
    name = breakdown.column if breakdown.title == breakdown.column else f"{breakdown.column}: {breakdown.title}"
    size, kb_hash = kb_of(comparison.group.head)
    title = f"Top-1 by {name} ({size}, {kb_hash})"
    return Grid(title, head, rows, notes=[breakdown.note] if breakdown.note else [])


def texts_grids(part: Part) -> list[Grid]:
    """One table whose columns are the text variants and whose rows are the models; absent ones read `not run`."""
    notes = [part.texts_note] if part.texts_note else []
    if not part.texts:
        return [Grid("Entity texts", [], [], notes=notes)]
    found = {variant for model in part.texts for variant in model.systems}
    variants = sorted(found, key=lambda variant: variant.order)
    size, kb_hash = kb_of(part.comparison.group.head)
    rows = [row for model in part.texts for row in model_rows(part.comparison, model, variants)]
    heads = [f"{variant.label}\n{size}\n{kb_hash}" for variant in variants]
    notes.append("“Another entity's” text is the control: the texts shuffled across entities.")
    return [Grid("The same model over entity texts", ["model", "", *heads], rows, num_labels=2, notes=notes)]


def model_rows(comparison: Comparison, model: SideBySide, variants: list[Any]) -> list[list[str]]:
    """Top-1, Top-3, Top-5, and the differences with their p-values."""

    def row(label: str, cells: dict[Any, str], absent: str = "not run") -> list[str]:
        return ["", label, *(cells.get(v, absent if v not in model.systems else "") for v in variants)]

    rows = []
    for column in COLUMNS[:3]:
        estimates = {v: comparison.estimates[s.name].get(column) for v, s in model.systems.items()}
        rows.append(row(HEADINGS[column], {v: estimate_text(e) for v, e in estimates.items()}))
    gaps = {v: difference_text(test.difference) for v, test in model.tests.items()}
    rows.append(row(f"Δ Top-1 to {model.reference.label}", gaps | {model.reference: "reference"}, ""))
    rows.append(row("p (Holm)", {v: p_text(test.adjusted) for v, test in model.tests.items()}, ""))
    if model.own_text:
        gaps = {v: difference_text(test.difference) for v, test in model.own_text.items()}
        rows.append(row("Δ Top-1 to the same text, unshuffled", gaps, ""))
        rows.append(row("p (Holm)", {v: p_text(test.adjusted) for v, test in model.own_text.items()}, ""))
    rows[0][0] = model.model
    return rows


def quoted_grid(part: Part) -> Grid:
    """The published rows under the same protocol and KB size, or the sentence that there are none."""
    head, table = part.comparison.group.head, part.quoted
    title = f"Quoted, not run here: {head['dataset']} · {head['protocol']} · {kb_of(head)[0]}"
    if table is None or table.empty:
        return Grid(title, [], [], notes=[f"{head['dataset']}: {NONE} ({head['protocol']}, {kb_of(head)[0]})."])
    rows = [
        [f"{row['model']} (quoted)", *map(_published, row[COLUMNS]), row["protocol_note"], row["source"]]
        for _, row in table.iterrows()
    ]
    columns = ["model", *(f"{title}\nquoted" for title in HEADINGS.values()), "protocol", "source"]
    note = "Figures as their sources give them, on their rows and splits; no interval or test can be given."
    return Grid(title, columns, rows, notes=[note])


def _published(share: float) -> str:
    return "–" if math.isnan(share) else percent(share)


def problem_lines(contents: Contents) -> list[str]:
    """One line for each folder that is not compared."""
    return [f"{problem.folder}: {problem.reason}. {problem.remedy}" for problem in contents.problems]
