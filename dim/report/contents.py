"""All that a report says, before it takes a form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from dim.report.breakdown import BREAKDOWNS, Breakdown, break_down
from dim.report.comparison import Comparison, Test, adjust, compare
from dim.report.published import quoted
from dim.report.reading import Reading
from dim.report.runs import Problem
from dim.report.texts import SideBySide, missing_controls, side_by_side


@dataclass
class Part:
    """One group of a report.

    Attributes:
        comparison: Its numbers.
        texts: Its models over entity texts.
        texts_note: Which texts and controls were not run; empty where all were.
        breakdowns: By column, as far as they were asked for.
        quoted: The published rows that may stand beside it; None where they were not asked for.
    """

    comparison: Comparison
    texts: list[SideBySide]
    texts_note: str
    breakdowns: list[Breakdown] = field(default_factory=list)
    quoted: pd.DataFrame | None = None

    @property
    def tests(self) -> list[Test]:
        """Every test that it shows."""
        between_texts = [test for model in self.texts for test in (*model.tests.values(), *model.own_text.values())]
        return [*self.comparison.tests.values(), *between_texts]


@dataclass
class Contents:
    """A whole report.

    Attributes:
        parts: One a group.
        problems: Folders that are not compared.
        notes: What a reader should know of what is.
        num_tests: How many tests Holm's correction is over.
        command: The command line that makes the report.
        rounds: Of bootstrap and randomisation.
        dataset: Where the dataset stands now, if it has moved.
    """

    parts: list[Part]
    problems: list[Problem]
    notes: list[str]
    num_tests: int
    command: str
    rounds: int
    dataset: Path | None = None

    @property
    def method(self) -> str:
        """How the numbers were made, in a few sentences."""
        correction = f"Holm over all {self.num_tests} tests shown" if self.num_tests > 1 else "one test, so uncorrected"
        return (
            f"Brackets: 95% percentile bootstrap ({self.rounds:,} draws) of mentions, those that share an image drawn "
            f"together; each mention counts with its mean over seeds. ±: standard deviation over seeds. p: two-sided "
            f"paired randomisation test of Top-1 ({self.rounds:,} rounds, images together), {correction}. "
            "Win/tie/loss: mentions answered better, equally, worse than by the reference. NIL mentions are left out."
        )

    def colophon(self) -> list[tuple[str, str]]:
        """Where the results come from: models, seeds, commits, hardware, versions."""
        runs = [run for part in self.parts for system in part.comparison.group.systems for run in system.runs]
        lines = [("command", self.command)]
        for part in self.parts:
            for system in part.comparison.group.systems:
                seeds = [str(run.metrics.get("seed")) for run in system.runs]
                model = system.runs[0].metrics["model"]
                lines.append((system.name, f"{model}, seeds {', '.join(seeds)}, {system.folder}"))
        for key in ("commit", "hardware"):
            found = Counter(str(run.metrics.get(key) or "not recorded") for run in runs)
            told = [text if len(found) == 1 else f"{text} ({count} runs)" for text, count in found.items()]
            lines.append((key, "; ".join(told)))
        versions = dict.fromkeys(
            ", ".join(f"{name} {version}" for name, version in (run.metrics.get("versions") or {}).items())
            for run in runs
        )
        lines.append(("versions", "; ".join(text or "not recorded" for text in versions)))
        return lines


def gather(
    reading: Reading, against: str | None, columns: Sequence[str], published: bool, rounds: int, command: str
) -> Contents:
    """The numbers of every group, and Holm's correction over all tests.

    Args:
        reading: What was found.
        against: The reference, or None: the first system of each group.
        columns: To break Top-1 down by.
        published: Whether quoted figures are looked up.
        rounds: Of bootstrap and randomisation.
        command: The command line, for the colophon.
    """
    parts = []
    for group in reading.groups:
        comparison = compare(group, against, rounds)
        texts = side_by_side(comparison)
        note = missing_controls(texts, comparison)
        breakdowns = [break_down(comparison, column) for column in columns]
        parts.append(Part(comparison, texts, note, breakdowns, quoted(group.head) if published else None))
    num_tests = adjust(part.tests for part in parts)
    return Contents(parts, reading.problems, reading.notes, num_tests, command, rounds)


def columns_of(by: str | None, everything: bool) -> list[str]:
    """The columns that `--by` means: one, all, or none (`everything`: all, as in files)."""
    if by == "all" or (by is None and everything):
        return list(BREAKDOWNS)
    return [] if by is None else [by]
