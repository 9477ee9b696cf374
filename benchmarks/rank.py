"""`dim bench rank`: ranks over the whole KB, by slices and over all scores at once: how much memory, how long."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table

from benchmarks.clock import say_measured
from benchmarks.memory import MEASURED
from dim.display.terminal import Console
from dim.errors import ConfigError, DimError

MOST_MB = 300  # above what was there before: the goal, at any size
SIZES = (20_000, 100_000, 300_000)
By = Literal["vectors", "names"]

# In a process of its own each: the peak is of this work alone.
_RANK = (
    MEASURED
    + """
import numpy as np, torch
from torch.nn.functional import normalize
from dim.demo.population import FAMILY_SIZE, populate
from dim.evaluation.protocols import FullKB
from dim.search.lexical import NameIndex
from dim.search.scores import BATCH, Products

by, way = sys.argv[1:3]
num_entities, num_mentions, width, rounds, seed = map(int, sys.argv[3:])

generator = torch.Generator().manual_seed(seed)
gold = torch.randint(-1, num_entities, (num_mentions,), generator=generator)
if by == "names":
    family, member = np.divmod(np.arange(num_entities), FAMILY_SIZE)
    population = populate(num_entities, 0, np.random.default_rng(seed))
    names = [population.name(f, m) for f, m in zip(family.tolist(), member.tolist(), strict=True)]
    index = NameIndex(names)
    mentions = [names[row].split()[row % 2 - 1] for row in gold.tolist()]
    scores_of = lambda part: index.scores(mentions[part])
else:
    vectors = normalize(torch.randn(num_entities, width, generator=generator))
    queries = normalize(torch.randn(num_mentions, width, generator=generator))
    scores_of = lambda part: Products(queries[part], vectors)

def rank():
    for start in range(0, num_mentions, BATCH):
        part = slice(start, start + BATCH)
        scores = scores_of(part)
        FullKB().rank(scores.whole() if way == "whole" else scores, gold[part], None)

FullKB().rank(torch.zeros(1, 1000), torch.tensor([0]), None)
if Path("/proc/self/clear_refs").exists():
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of what was made until here
before = memory("VmRSS")
taken = []
for _ in range(rounds):
    start = time.perf_counter()
    rank()
    taken.append(time.perf_counter() - start)
print(json.dumps({"mb": memory("VmHWM") - before, "seconds": min(taken)}))
"""
)


@dataclass(frozen=True)
class Measured:
    """Peak memory above what was there before (MB), and seconds, of ranking by slices and over all scores at once."""

    num_entities: int
    by: By
    mb: float
    seconds: float
    whole_mb: float
    whole_seconds: float


def bench_rank(
    sizes: list[int] | None = None, num_mentions: int = 512, width: int = 512, rounds: int = 3, seed: int = 0
) -> list[Measured]:
    """Ranks mentions against KBs of several sizes by random unit vectors, and by the names of the demo world.

    Args:
        sizes: Entities of the KBs; by default 20,000, 100,000 and 300,000.
        num_mentions: Mentions that are ranked, in batches of 256.
        width: Of the vectors.
        rounds: Turns; the fastest counts.
        seed: Of vectors, names and golds.

    Returns:
        What was measured, by size.
    """
    chosen = list(SIZES) if sizes is None else sizes
    if min([*chosen, num_mentions, width, rounds]) < 1:
        raise ConfigError("sizes, num_mentions, width and rounds from 1 up", "a smaller one", "Raise it.")
    kinds: tuple[By, ...] = ("vectors", "names")
    found = []
    for size in chosen:
        for by in kinds:
            numbers = [str(number) for number in (size, num_mentions, width, rounds, seed)]
            slices, whole = (_run([by, way, *numbers]) for way in ("slices", "whole"))
            found.append(Measured(size, by, slices["mb"], slices["seconds"], whole["mb"], whole["seconds"]))
    _print(found, f"{num_mentions:,} mentions against the whole KB, vectors {width} wide", rounds)
    return found


def _run(words: list[str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", _RANK, *words], capture_output=True, text=True)
    if done.returncode:
        raise DimError("a process that ranks", f"exit {done.returncode}", done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print(found: list[Measured], title: str, rounds: int) -> None:
    table = Table(title=title)
    for column in ("entities", "by", f"MB (goal ≤ {MOST_MB})", "MB at once", "seconds", "seconds at once", "ratio"):
        table.add_column(column, justify="left" if column == "by" else "right")
    for each in found:
        table.add_row(
            f"{each.num_entities:,}",
            each.by,
            f"{each.mb:,.0f}",
            f"{each.whole_mb:,.0f}",
            f"{each.seconds:.2f}",
            f"{each.whole_seconds:.2f}",
            f"{each.seconds / each.whole_seconds:.2f}",
        )
    Console().print(table)
    say_measured(f"the fastest of {rounds} turns")
