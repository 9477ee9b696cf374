"""`dim bench search`: whole-KB search against the matrix product that it cannot do without, and against FAISS flat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from rich.table import Table
from torch.nn.functional import normalize

from benchmarks.clock import say_measured, seconds
from benchmarks.search_curve import (
    GOAL_RATIO,
    GOAL_RECALL,
    IndexName,
    Point,
    check_curve,
    curve_plot,
    curve_table,
    measure_curve,
    write_curve,
)
from dim.display.terminal import Console
from dim.errors import ConfigError
from dim.search.exact import Best
from dim.search.scores import BATCH, Products

SIZES = (10_000, 31_623, 100_000, 316_228, 1_000_000)


def bench_search(
    num_entities: int = 18_880,
    num_queries: int = 2_585,
    width: int = 512,
    k: int = 20,
    repeats: int = 7,
    sizes: list[int] | None = None,
    kinds: list[IndexName] | None = None,
    num_centres: int = 10_000,
    batch: int = 256,
    curve_repeats: int = 3,
    out: Path | None = None,
) -> list[Point]:
    """Times exact top-k over a whole KB against one matrix product, then indexes over growing KBs against FAISS flat.

    The vectors of the growing KBs, and their queries, are `normalize(c + 0.5·ε/√width)` around random unit centres.
    FAISS finds the 10 nearest of each query in turns with each index; a million vectors take about 6 GB and minutes.

    Args:
        num_entities: Vectors in the KB of the first table.
        num_queries: Queries of the first table.
        width: Of the vectors.
        k: Answers a query of the first table.
        repeats: Turns of the first table; the ratio is the median of the turns' ratios.
        sizes: Vectors in the growing KBs; by default five from 10,000 to 1,000,000. An empty list leaves them out.
        kinds: Indexes over them: exact, flat, ivf, hnsw, int4 (IVF of that storage); by default exact, ivf and int4.
        num_centres: Centres of the growing KBs.
        batch: Queries a search in the growing KBs.
        curve_repeats: Turns over the growing KBs.
        out: Folder for search.csv and search.png, the curve over the size of the KB.

    Returns:
        The points of the growing KBs.
    """
    chosen, indexes = list(SIZES) if sizes is None else sizes, kinds or ["exact", "ivf", "int4"]
    if out is not None:
        check_curve(out)
    if min([1, *chosen, num_centres, batch, curve_repeats]) < 1:
        raise ConfigError("sizes, num_centres, batch and curve_repeats from 1 up", "a smaller one", "Raise it.")
    _compare_with_product(num_entities, num_queries, width, k, repeats)
    points: list[Point] = []
    if chosen:
        points = list(measure_curve(chosen, indexes, num_centres, width, batch, curve_repeats))
        _print_curve(points, f"10 nearest of {width}-wide vectors around {num_centres:,} centres, batch {batch}")
        say_measured(f"{curve_repeats} turns")
    if out is not None and points:
        write_curve(points, curve_plot(points), out)
        Console().say(f"wrote {out / 'search.csv'} and {out / 'search.png'}")
    return points


def _print_curve(points: Sequence[Point], title: str) -> None:
    largest = max(point.num_entities for point in points)
    rivals = [p for p in points if p.num_entities == largest and p.kind in ("ivf", "int4", "hnsw")]
    Console().print(curve_table(points, title))
    for point in rivals:
        is_met = point.recall_at_10 >= GOAL_RECALL and point.ratio >= GOAL_RATIO
        Console().say(
            f"{largest:,} vectors, {point.kind}: recall@10 {point.recall_at_10:.4f} (goal ≥ {GOAL_RECALL}) at"
            f" {point.ratio:.1f} × FAISS flat (goal ≥ {GOAL_RATIO:.0f}), {point.bytes_in_memory:,.0f} bytes a vector in"
            f" memory: {'met' if is_met else 'not met'}"
        )


def _compare_with_product(num_entities: int, num_queries: int, width: int, k: int, repeats: int) -> None:
    generator = torch.Generator().manual_seed(0)
    queries = normalize(torch.randn(num_queries, width, generator=generator))
    vectors = normalize(torch.randn(num_entities, width, generator=generator))

    def search() -> None:
        for batch in queries.split(BATCH):  # as an evaluation does
            Best.of(Products(batch, vectors), min(k, num_entities))

    turns = [(seconds(search), seconds(lambda: queries @ vectors.T)) for _ in range(repeats + 1)]
    turns = turns[1:]  # the first one warms up
    searched, product = median(turn[0] for turn in turns), median(turn[1] for turn in turns)
    table = Table(title=f"top-{k} of {num_queries:,} queries over {num_entities:,} × {width} vectors")
    for column in ("", "seconds (median)", "ratio"):
        table.add_column(column, justify="left" if column == "" else "right")
    table.add_row("one matrix product", f"{product:.3f}", "1.00")
    ratio = median(a / b for a, b in turns)
    table.add_row("exact search", f"{searched:.3f}", f"{ratio:.2f}  (goal ≤ 1.6)")
    Console().print(table)
    say_measured(f"{repeats} turns")
