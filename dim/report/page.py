"""A report as one HTML page that needs nothing outside itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dim.display.visible import visible
from dim.evaluation.results import percent
from dim.report.contents import Contents, Part
from dim.report.datasets import datasets_grids
from dim.report.grids import grids_of, heading_of, kb_of, problem_lines
from dim.report.mistakes import worst_mistakes
from dim.report.plots import as_svg, figures

TEMPLATE = "page.html"


def page(contents: Contents) -> str:
    """The page: tables, plots, worst mistakes and where it all comes from; no script, no request to anywhere."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = [part_view(part, place, contents.dataset) for place, part in enumerate(contents.parts)]
    return environment.get_template(TEMPLATE).render(
        parts=parts,
        datasets=datasets_grids(contents),
        problems=problem_lines(contents),
        notes=contents.notes,
        method=contents.method,
        colophon=contents.colophon(),
    )


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def part_view(part: Part, place: int, dataset: Path | None = None) -> dict[str, Any]:
    """What the template reads of a group."""
    comparison = part.comparison
    head, best = comparison.group.head, comparison.best
    size, kb_hash = kb_of(head)
    floor = next((row for row in comparison.group.baselines), None)
    return {
        "id": f"part{place}",
        "heading": heading_of(head),
        "dataset": head["dataset"],
        "facts": [str(head["split"]), str(head["protocol"]), f"{size} ({kb_hash})", f"{head['n']:,} mentions"]
        + ([f"{head['num_nil']:,} NIL left out"] if head.get("num_nil") else []),
        "best": {"name": best.name, "top1": percent(float(best.hits.mean()))},
        "floor": None if floor is None else {"name": floor.name, "top1": percent(float(floor.hits.mean()))},
        "sections": grids_of(part),
        "plots": [
            {"title": title, "svg": Markup(as_svg(figure, title, f"plot{place}{number}"))}
            for number, (title, figure) in enumerate(figures(comparison).items())
        ],
        "curve_note": head["protocol"] == "full_kb",
        "not_found": [row.name for row in comparison.group.rows if row.misses_golds],
        "mistakes": worst_mistakes(comparison, folder=dataset),
    }
