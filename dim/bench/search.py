"""`dim bench search`: whole-KB search against the matrix product that it cannot do without."""

from __future__ import annotations

from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import normalize

from dim.bench.clock import seconds
from dim.provenance import commit, hardware
from dim.search.exact import ExactIndex


def bench_search(
    num_entities: int = 18_880, num_queries: int = 2_585, width: int = 512, k: int = 20, repeats: int = 7
) -> None:
    """Times exact top-k over a whole KB against one matrix product of the same size, in turns in one run.

    Args:
        num_entities: Vectors in the KB.
        num_queries: Queries.
        width: Of the vectors.
        k: Answers a query.
        repeats: Turns; the ratio is the median of the turns' ratios.
    """
    generator = torch.Generator().manual_seed(0)
    queries = normalize(torch.randn(num_queries, width, generator=generator))
    vectors = normalize(torch.randn(num_entities, width, generator=generator))
    index = ExactIndex(vectors)
    turns = [
        (seconds(lambda: index.search(queries, k)), seconds(lambda: queries @ vectors.T)) for _ in range(repeats + 1)
    ]
    turns = turns[1:]  # the first one warms up
    search, product = median(turn[0] for turn in turns), median(turn[1] for turn in turns)
    table = Table(title=f"top-{k} of {num_queries:,} queries over {num_entities:,} × {width} vectors")
    for column in ("", "seconds (median)", "ratio"):
        table.add_column(column, justify="left" if column == "" else "right")
    table.add_row("one matrix product", f"{product:.3f}", "1.00")
    ratio = median(a / b for a, b in turns)
    table.add_row("exact search", f"{search:.3f}", f"{ratio:.2f}  (goal ≤ 1.6)")
    Console().print(table)
    Console().print(f"{hardware()} · commit {commit()} · {repeats} turns", soft_wrap=True)
