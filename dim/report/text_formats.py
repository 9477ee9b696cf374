"""A report in the terminal and as Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from rich.table import Table

from dim.display.markdown import markdown_table, markdown_text
from dim.display.terminal import Console, Text
from dim.report.contents import Contents
from dim.report.datasets import datasets_grids
from dim.report.grids import Grid, grids_of, heading_of, problem_lines

#: Columns where the output is no terminal, and no one said how wide it is: no line is folded.
UNFOLDED = 100_000


def print_report(contents: Contents, columns: Sequence[str] = ()) -> None:
    """Prints the report, with the breakdowns by these columns."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNFOLDED
    for part in contents.parts:
        for _, grids in grids_of(part, columns):
            for grid in grids:
                print_grid(console, grid)
    for grid in datasets_grids(contents):
        print_grid(console, grid)
    console.print(Text(contents.method, style="dim"))
    if contents.problems:
        console.print(Text("Not compared:", style="bold yellow"))
        for line in problem_lines(contents):
            console.say(Text(f"  {line}"))
    for note in contents.notes:
        console.say(Text(f"note: {note}"))


def print_grid(console: Console, grid: Grid) -> None:
    """Prints one table, or its notes alone where it has no row."""
    if grid.rows:
        table = Table(title=Text(grid.title), title_justify="left")
        for place, head in enumerate(grid.head):
            is_label = place < grid.num_labels
            table.add_column(Text(head), justify="left" if is_label else "right", overflow="fold")
        for row in grid.rows:
            table.add_row(*(cell_text(cell, place < grid.num_labels) for place, cell in enumerate(row)))
        console.print(table)
    for note in grid.notes:
        console.print(Text(note, style="dim"))
    if grid.rows or grid.notes:
        console.print()


def cell_text(cell: str, is_label: bool) -> Text:
    """A cell whose second line is dim."""
    first, _, second = cell.partition("\n")
    text = Text().append(first, "bold" if is_label else "")
    return text.append("\n").append(second, "dim") if second else text


def markdown(contents: Contents) -> str:
    """The report as Markdown (tables of GitHub's kind)."""
    return "\n".join(_markdown_lines(contents)) + "\n"


def _markdown_lines(contents: Contents) -> Iterator[str]:
    yield from ("# Comparison", "")
    if contents.problems:
        yield from ("**Not compared:**", "", *(f"- {markdown_text(line)}" for line in problem_lines(contents)), "")
    if contents.notes:
        yield from (*(f"- {markdown_text(note)}" for note in contents.notes), "")
    for part in contents.parts:
        yield from (f"## {markdown_text(heading_of(part.comparison.group.head))}", "")
        for heading, grids in grids_of(part):
            yield from (f"### {markdown_text(heading)}", "")
            for grid in grids:
                yield from _markdown_grid(grid)
    if over_datasets := datasets_grids(contents):
        yield from ("## Datasets and texts", "")
        for grid in over_datasets:
            yield from _markdown_grid(grid)
    yield from ("## How it was made", "", markdown_text(contents.method), "")
    yield from (f"- {markdown_text(name)}: {markdown_text(text)}" for name, text in contents.colophon())


def _markdown_grid(grid: Grid) -> Iterator[str]:
    if grid.rows:
        yield from (f"**{markdown_text(grid.title)}**", "", *markdown_table(grid.head, grid.rows, grid.num_labels), "")
    for note in grid.notes:
        yield from (markdown_text(note), "")
