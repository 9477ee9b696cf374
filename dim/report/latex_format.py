r"""A report as tables of LaTeX, to be taken into a paper by \input."""

from __future__ import annotations

from collections.abc import Iterator

from dim.display.latex import latex_table
from dim.display.visible import visible_line
from dim.report.contents import Contents
from dim.report.datasets import datasets_grids
from dim.report.grids import Grid, grids_of, problem_lines

MARK = "% dim report: tables with the rules of booktabs"  #: The first line of such a file.


def latex(contents: Contents) -> str:
    r"""The tables of a report, a `table` each; what is said beside them stands in comments.

    The preamble needs \usepackage{booktabs}.
    """
    return "\n".join(_lines(contents)) + "\n"


def _lines(contents: Contents) -> Iterator[str]:
    yield from (MARK, r"% \usepackage{booktabs}", _comment(contents.method))
    yield from (_comment(f"{name}: {text}") for name, text in contents.colophon())
    yield from (_comment(f"Not compared: {line}") for line in problem_lines(contents))
    yield from map(_comment, contents.notes)
    grids = [grid for part in contents.parts for _, found in grids_of(part) for grid in found]
    for grid in [*grids, *datasets_grids(contents)]:
        yield from _grid(grid)


def _grid(grid: Grid) -> Iterator[str]:
    yield ""
    if grid.rows:
        yield from latex_table(grid.title, grid.head, grid.rows, grid.num_labels)
    yield from map(_comment, grid.notes)


def _comment(text: str) -> str:
    return f"% {visible_line(text)}"
