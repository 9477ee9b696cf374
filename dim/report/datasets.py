"""One table over datasets and entity texts: the baselines and every model in the rows, Top-1 in the cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from dim.evaluation.results import BASELINES
from dim.report.comparison import Estimate, Test
from dim.report.contents import Contents, Part
from dim.report.grids import Grid, difference_text, estimate_text, kb_of, p_text
from dim.report.systems import System, make_baselines
from dim.report.texts import Ablations, Variant, ablations_of, model_label, variant_of

TITLE = "Datasets and texts: Top-1"
#: In the order in which they decide which tables may be put side by side.
_SHARED = ("split", "protocol")
_Key = tuple[str, Ablations, int]  #: Of a row.


@dataclass(frozen=True)
class _Column:
    """One text of one dataset, with the systems that read it."""

    part: Part
    variant: Variant
    systems: list[System]

    @property
    def head(self) -> str:
        about = self.part.comparison.group.head
        return "\n".join([str(about["dataset"]), self.variant.label, f"n {about['n']:,}", *kb_of(about)])

    def baselines(self) -> dict[str, str]:
        """The string floors and the untrained vectors beside these systems: the vectors read the text, too."""
        found = {}
        for system in make_baselines(self.systems):
            title = next(title for title in BASELINES.values() if system.name.startswith(title))
            low, high = self.part.comparison.bootstrap.interval(system.hits[:, None])
            told = estimate_text(Estimate(float(system.hits.mean()), float(low[0]), float(high[0])))
            whose = system.name.removeprefix(title).strip()  # `of a and 1 more` where there are several
            found[title] = "\n".join([told, whose] if whose else [told])
        return found

    def models(self) -> dict[_Key, System]:
        """By label and ablations, and by the number of those before that have the same."""

        def of(system: System) -> tuple[str, Ablations]:
            return model_label(system), ablations_of(system)

        return {
            (*same, place): system
            for same, members in groupby(sorted(self.systems, key=of), key=of)
            for place, system in enumerate(members)
        }


def datasets_grids(contents: Contents) -> list[Grid]:
    """A table for each split and protocol under which more than one dataset was asked; none where there is one."""
    found: dict[tuple[str, ...], list[Part]] = {}
    for part in contents.parts:
        found.setdefault(tuple(str(part.comparison.group.head[name]) for name in _SHARED), []).append(part)
    return [
        _grid(parts)
        for parts in found.values()
        if len({part.comparison.group.head["dataset_hash"] for part in parts}) > 1
    ]


def _grid(parts: list[Part]) -> Grid:
    columns = [column for part in parts for column in _columns(part)]
    head = parts[0].comparison.group.head
    rows = [*_baseline_rows(columns), *_model_rows(columns)]
    notes = ["Columns are of different mentions and KBs: only what stands in one dataset's columns can be compared."]
    return Grid(
        f"{TITLE} · {head['split']} · {head['protocol']}", ["system", *(c.head for c in columns)], rows, notes=notes
    )


def _columns(part: Part) -> list[_Column]:
    systems: dict[Variant, list[System]] = {}
    for system in part.comparison.group.systems:
        systems.setdefault(variant_of(system), []).append(system)
    return [_Column(part, variant, systems[variant]) for variant in sorted(systems, key=lambda each: each.order)]


def _baseline_rows(columns: list[_Column]) -> Iterator[list[str]]:
    found = [column.baselines() for column in columns]
    for title in BASELINES.values():
        if any(title in of for of in found):
            yield [title, *(of.get(title, "not run") for of in found)]


def _model_rows(columns: list[_Column]) -> Iterator[list[str]]:
    found = [column.models() for column in columns]
    for key in dict.fromkeys(key for of in found for key in of):
        systems = [of.get(key) for of in found]
        names = ", ".join(dict.fromkeys(system.name for system in systems if system is not None))
        cells = [
            "not run" if system is None else estimate_text(column.part.comparison.estimates[system.name].get("top1"))
            for column, system in zip(columns, systems, strict=True)
        ]
        yield ["\n".join(dict.fromkeys([key[0], names])), *cells]  # a system that names itself is called so alone
        tests = [None if s is None else _test(column.part, s) for column, s in zip(columns, systems, strict=True)]
        if any(isinstance(test, Test) for test in tests):
            yield [
                "Δ to the original text",
                *(difference_text(t.difference) if isinstance(t, Test) else t or "" for t in tests),
            ]
            yield ["p (Holm)", *(p_text(test.adjusted) if isinstance(test, Test) else "" for test in tests)]


def _test(part: Part, system: System) -> Test | str | None:
    """Its test against the same model's original text; `reference` where it is that, None where there is none."""
    for model in part.texts:
        for variant, member in model.systems.items():
            if member is system:
                return "reference" if variant == model.reference else model.tests[variant]
    return None
