"""The numbers of a report: means with intervals and spread, differences with paired tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dim.errors import ConfigError
from dim.evaluation.intervals import Bootstrap
from dim.evaluation.results import BASELINES, COLUMNS
from dim.evaluation.significance import holm, paired_randomization, win_tie_loss
from dim.report.systems import Group, System


@dataclass(frozen=True)
class Estimate:
    """A share with its 95% interval over mentions, and its standard deviation over seeds (NaN for one seed)."""

    value: float
    low: float
    high: float
    spread: float = float("nan")


@dataclass
class Test:
    """A system against a reference on Top-1.

    Attributes:
        system: Its name.
        reference: The reference's name.
        difference: Top-1 of the system minus that of the reference.
        p: Of the paired randomisation test.
        wins: Mentions that the system answers better; ties and losses accordingly.
        adjusted: p after Holm's correction over all tests of the report (NaN before `adjust`).
    """

    system: str
    reference: str
    difference: Estimate
    p: float
    wins: int
    ties: int
    losses: int
    adjusted: float = float("nan")


@dataclass
class Comparison:
    """A group with its numbers.

    Attributes:
        group: The systems.
        reference: What the others are tested against.
        estimates: System name → column → estimate; a column that a protocol does not define is absent.
        tests: System name → its test against the reference.
        bootstrap: The draws behind every interval of the group.
        rounds: Of the tests.
    """

    group: Group
    reference: System
    bootstrap: Bootstrap
    rounds: int
    estimates: dict[str, dict[str, Estimate]]
    tests: dict[str, Test]

    def tests_between(self, systems: Sequence[System], reference: System) -> list[Test]:
        """The paired tests of several systems against one."""
        if not systems:
            return []
        gaps = np.stack([system.hits - reference.hits for system in systems], axis=1)
        low, high = self.bootstrap.interval(gaps)
        clusters = self.group.clusters
        return [
            Test(
                system.name,
                reference.name,
                Estimate(float(gaps[:, i].mean()), float(low[i]), float(high[i])),
                paired_randomization(system.hits, reference.hits, self.rounds, clusters=clusters),
                *win_tie_loss(system.hits, reference.hits),
            )
            for i, system in enumerate(systems)
        ]

    @property
    def best(self) -> System:
        """The system with the highest Top-1; of equal ones the first."""
        return max(self.group.systems, key=lambda system: float(system.hits.mean()))


def compare(group: Group, against: str | None, rounds: int) -> Comparison:
    """The group's numbers, with tests of every system against the reference.

    Args:
        group: The systems.
        against: The reference's name, or None: the first. A group that lacks it is compared with its first.
        rounds: Of bootstrap and randomisation.
    """
    reference = find_system(group, against) or group.systems[0]
    comparison = Comparison(group, reference, Bootstrap(group.clusters, rounds), rounds, {}, {})
    low, high = comparison.bootstrap.interval(np.concatenate([row.values() for row in group.rows], axis=1))
    for place, row in enumerate(group.rows):
        seeds = row.seed_means()
        spread = seeds.std(0, ddof=1) if len(seeds) > 1 else np.full(len(COLUMNS), np.nan)
        start = place * len(COLUMNS)
        comparison.estimates[row.name] = {
            column: Estimate(float(seeds[:, i].mean()), float(low[start + i]), float(high[start + i]), float(spread[i]))
            for i, column in enumerate(COLUMNS)
            if column not in row.undefined
        }
    others = [system for system in group.systems if system is not reference]
    comparison.tests = {test.system: test for test in comparison.tests_between(others, reference)}
    return comparison


def find_system(group: Group, name: str | None) -> System | None:
    """The row that `name` means: its name, its folder, its folder's last word, or `floor`, `alias_floor` or `frozen`.

    Returns:
        None where the group lacks it, or no name is given.
    """
    if name is None:
        return None
    path, title = name.rstrip("/"), BASELINES.get(name)
    of_baselines = [row for row in group.baselines if title is not None and row.name.startswith(title)]  # `… of a`
    by_name = [*of_baselines, *(row for row in group.rows if row.name == name)]
    by_folder = [row for row in group.systems if str(row.folder) == path]
    by_word = [row for row in group.systems if row.folder is not None and row.folder.name == path]
    return next(iter([*by_name, *by_folder, *by_word]), None)


def check_reference(groups: Iterable[Group], against: str | None) -> None:
    """Raises ConfigError where no group holds the reference."""
    groups = list(groups)
    if against is not None and not any(find_system(group, against) for group in groups):
        names = ", ".join(dict.fromkeys(row.name for group in groups for row in group.rows))
        raise ConfigError(f"one of the systems ({names})", f"'{against}'", "Choose one of them with --against.")


def adjust(tests_of_groups: Iterable[Iterable[Test]]) -> int:
    """Sets Holm's correction over all tests of the report, given by group; a pair that is shown twice counts once.

    Returns:
        How many tests the correction is over.
    """
    pairs: dict[tuple[int, frozenset[str]], list[Test]] = {}
    for place, tests in enumerate(tests_of_groups):
        for test in tests:
            pairs.setdefault((place, frozenset((test.system, test.reference))), []).append(test)
    for same, adjusted in zip(pairs.values(), holm([same[0].p for same in pairs.values()]), strict=True):
        for test in same:
            test.adjusted = float(adjusted)
    return len(pairs)
