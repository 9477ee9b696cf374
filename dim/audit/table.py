"""An audit as people read it."""

from __future__ import annotations

from rich.table import Table

from dim.audit.findings import Audit, Finding
from dim.display.terminal import Console, Text

STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "leak": "bold red", "not checked": "dim"}


def print_audit(audit: Audit, console: Console) -> None:
    """Prints a table with a verdict a line, and below it the counts of verdicts."""
    title = f"{audit.dataset} ({audit.dataset_hash[:8]}) · KB {audit.kb_hash[:8]}"
    table = Table(title=f"Audit · {title} · image duplicates: at most {audit.thresholds.image_distance} of 64 bits")
    for column, options in {
        "verdict": {"no_wrap": True},
        "finding": {"min_width": 20},
        "count": {"justify": "right", "no_wrap": True},
        "what it means for a reported number": {"ratio": 1},
    }.items():
        table.add_column(column, **options)  # type: ignore[arg-type]
    for finding in audit.findings:
        table.add_row(*_cells(finding))
    console.print(table)
    console.print(_counts(audit))


def print_verdicts(audit: Audit, console: Console) -> None:
    """Prints a line a finding that was checked: verdict, name and count; what it means only of warnings and leaks."""
    table = Table.grid(padding=(0, 2))
    for options in ({"no_wrap": True}, {"ratio": 1}, {"justify": "right", "no_wrap": True}):
        table.add_column(**options)
    for finding in audit.findings:
        if finding.verdict == "not checked":
            continue
        verdict, name, count, _ = _cells(finding)
        if finding.verdict in ("warning", "leak"):
            name.append(f"\n{finding.says}", "dim")
        table.add_row(verdict, name, Text(count.plain.replace("\n", "  ")))
    console.print(Text(f"audit of {audit.dataset} (dim audit has the details)", "bold"))
    console.print(table)
    console.print(_counts(audit))


def _counts(audit: Audit) -> Text:
    verdicts = [finding.verdict for finding in audit.findings]
    return Text(" · ".join(f"{v} {verdicts.count(v)}" for v in ("leak", "warning", "note", "ok", "not checked")))


def _cells(finding: Finding) -> tuple[Text, ...]:
    counted = finding.count is not None
    share = "" if finding.share is None else f"\n{finding.share:.1%}"
    means = Text(finding.says)
    if finding.figures and finding.count:
        means.append(
            "\n" + ", ".join(f"{_words(key)} {_number(value)}" for key, value in finding.figures.items()), "dim"
        )
    if finding.examples and finding.verdict not in ("ok", "not checked"):
        means.append("\nfirst: " + "; ".join(finding.examples), "dim")
    return (
        Text(finding.verdict, STYLES[finding.verdict]),
        Text(f"{finding.split}: {finding.name}" if finding.split else finding.name),
        Text(f"{finding.count:,} of {finding.of:,}{share}" if counted else ""),
        means,
    )


def _words(key: str) -> str:
    return key.replace("_", " ")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{100 * value:.1f}%"
