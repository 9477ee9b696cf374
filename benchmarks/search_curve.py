"""The part of `dim bench search` over the size of the KB: throughput, recall and memory against FAISS flat."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import faiss
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.clock import seconds
from dim.core.files import atomic_path
from dim.core.output import check_file
from dim.report.plots import PALETTE, STYLE
from dim.search.codes import CodeStore
from dim.search.vector_index import VectorIndex

IndexName = Literal["exact", "flat", "ivf", "hnsw", "int4"]  #: A kind of `VectorIndex`, or IVF whose storage is int4.
GOAL_RECALL, GOAL_RATIO = 0.98, 10.0
K = 10
NUM_TUNING = 2_048  # queries that set the effort; by 500 the recall of others was 0.979 where 0.98 was wanted
NUM_ASKED = 4_096  # others, by which a recall of 0.98 is known to 0.001
NUM_SINGLE = 30
BLOCK = 2**16


@dataclass(frozen=True, slots=True)
class World:
    """Unit vectors around random unit centres: `normalize(c + 0.5·ε/√width)`, ε normal.

    Attributes:
        centres: [num_centres, width], float32.
    """

    centres: NDArray[np.float32]

    @classmethod
    def draw(cls, num_centres: int, width: int, rng: np.random.Generator) -> World:
        """Random centres."""
        centres = rng.standard_normal((num_centres, width), dtype=np.float32)
        return cls(centres / np.linalg.norm(centres, axis=1, keepdims=True))

    def vectors(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """[count, width], float32."""
        return self.fill(np.empty((count, self.centres.shape[1]), dtype=np.float32), rng)

    def fill(self, drawn: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Draws into an array [n, width], which may be a file, in blocks, so that nothing else is as large."""
        width = self.centres.shape[1]
        for start in range(0, len(drawn), BLOCK):
            block = drawn[start : start + BLOCK]
            rng.standard_normal(out=block, dtype=np.float32)
            block *= np.float32(0.5 / np.sqrt(width))
            block += self.centres[rng.integers(len(self.centres), size=len(block))]
            block /= np.linalg.norm(block, axis=1, keepdims=True)
        return drawn


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured of one index over one KB.

    Attributes:
        ratio: Median over the turns of FAISS flat's seconds for a batch over this index's.
        queries_per_second: In batches.
        single_ms: Median milliseconds of one query alone.
        bytes_per_vector: Of all files of the saved index.
        bytes_in_memory: The same without the vectors of int4, of which a search reads a few from the disk.
        load_seconds: To open the saved index and read its checksums.
        load: Processes that the machine ran or wanted to run, in the last minute, when this was measured.
    """

    num_entities: int
    kind: str
    recall_at_10: float
    queries_per_second: float
    ratio: float
    single_ms: float
    bytes_per_vector: float
    build_seconds: float
    load_seconds: float
    effort: int
    lists: int
    load: float
    bytes_in_memory: float


def measure_curve(
    sizes: Sequence[int],
    kinds: Sequence[IndexName],
    num_centres: int,
    width: int,
    batch: int,
    repeats: int,
    seed: int = 0,
) -> Iterator[Point]:
    """Yields one point a size and kind, and one of FAISS flat a size; vectors and queries follow one law.

    Every index is saved, loaded and searched as mapped files. FAISS flat is searched in turns with it.

    Args:
        sizes: Vectors in the KB; a smaller KB is the beginning of a larger one.
        kinds: Of the indexes.
        num_centres: Of the law.
        width: Of the vectors.
        batch: Queries a search.
        repeats: Turns, after one that warms up.
        seed: Of the vectors.
    """
    rng = np.random.default_rng(seed)
    world = World.draw(num_centres, width, rng)
    tuning, queries = world.vectors(NUM_TUNING, rng), world.vectors(max(NUM_ASKED, batch), rng)
    everything = world.vectors(max(sizes), rng)
    for size in sorted(sizes):
        flat = faiss.IndexFlatIP(width)
        flat.add(everything[:size])
        truth = np.concatenate([flat.search(part, K)[0] for part in _batches(queries, batch)])[:, -1:]
        flat_single = _single(partial(flat.search, k=K), queries)
        flat_seconds: list[float] = []
        for kind in kinds:
            with TemporaryDirectory() as folder:
                point, turns = _measure(
                    kind, everything[:size], tuning, queries, truth, flat, batch, repeats, Path(folder)
                )
            flat_seconds += turns
            yield point
        speed = batch / median(flat_seconds)
        memory, load = 4.0 * width, os.getloadavg()[0]
        yield Point(size, "FAISS flat", 1.0, speed, 1.0, flat_single, memory, 0.0, 0.0, 0, 0, load, memory)


def _measure(
    kind: IndexName,
    vectors: NDArray[np.float32],
    tuning: NDArray[np.float32],
    queries: NDArray[np.float32],
    truth: NDArray[np.float32],
    flat: faiss.IndexFlatIP,
    batch: int,
    repeats: int,
    folder: Path,
) -> tuple[Point, list[float]]:
    built: list[VectorIndex] = []
    build = partial(VectorIndex.build, recall_queries=tuning, k=K, wanted_recall=GOAL_RECALL, progress=True)
    own = partial(build, kind="ivf", storage="int4") if kind == "int4" else partial(build, kind=kind)
    build_seconds = seconds(lambda: built.append(own(vectors)))
    built.pop().save(folder / "index")
    loaded: list[VectorIndex] = []
    load_seconds = seconds(lambda: loaded.append(VectorIndex.load(folder / "index")))
    index, parts = loaded[0], _batches(queries, batch)
    found = np.concatenate([index.search(part, K)[1] for part in parts])
    # Scores of the float32 vectors decide: of two that are equally near, either is a hit.
    scores = np.einsum("bd,bkd->bk", queries, vectors[found])
    recall = float((np.where(found < 0, -np.inf, scores) >= truth - 1e-6).mean())
    turns = [
        (seconds(partial(flat.search, part, K)), seconds(partial(index.search, part, K)))
        for part in islice(cycle(part for part in parts if len(part) == batch), repeats + 1)
    ][1:]
    speed = batch / median(own for _, own in turns)
    sizes = {path.name: path.stat().st_size / len(vectors) for path in (folder / "index").iterdir()}
    size = sum(sizes.values())
    point = Point(
        len(vectors), kind, recall, speed, median(a / b for a, b in turns),
        _single(partial(index.search, k=K), queries), size, build_seconds, load_seconds,
        index.parameters.get("effort", 0), index.parameters.get("most", 0), os.getloadavg()[0],
        size - sizes.get(CodeStore.VECTORS, 0),
    )  # fmt: skip
    return point, [peer for peer, _ in turns]


def _batches(queries: NDArray[np.float32], batch: int) -> list[NDArray[np.float32]]:
    return np.split(queries, range(batch, len(queries), batch))


def _single(search: Callable[[NDArray[np.float32]], object], queries: NDArray[np.float32]) -> float:
    return 1000 * median(seconds(partial(search, query[None])) for query in queries[:NUM_SINGLE])


def curve_table(points: Sequence[Point], title: str) -> Table:
    """The points as a table, the goals beside the largest KB."""
    table = Table(title=title)
    headings = (
        "entities", "index", "recall@10", "queries/s", "× flat", "one query ms", "bytes/vector", "in memory", "build s",
        "load s", "effort", "load",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "index" else "right")
    for point in points:
        table.add_row(
            f"{point.num_entities:,}", point.kind, f"{point.recall_at_10:.4f}", f"{point.queries_per_second:,.0f}",
            f"{point.ratio:.1f}", f"{point.single_ms:.2f}", f"{point.bytes_per_vector:,.0f}",
            f"{point.bytes_in_memory:,.0f}", f"{point.build_seconds:.0f}", f"{point.load_seconds:.1f}",
            f"{point.effort:,}/{point.lists:,}" if point.effort else "", f"{point.load:.1f}",
        )  # fmt: skip
    return table


def check_curve(folder: Path, name: str = "search", columns: Sequence[str] = Point.__slots__) -> None:
    """Raises ConfigError where `write_curve` would write over files of somebody else."""

    def is_curve(_: Path) -> bool:
        table = folder / f"{name}.csv"
        return table.is_file() and table.read_bytes().startswith(",".join(columns).encode())

    for ending in ("csv", "png"):
        check_file(folder / f"{name}.{ending}", "a curve", is_curve)


def write_curve(points: Sequence[Any], figure: Figure, folder: Path, name: str = "search") -> None:
    """Writes search.csv, one row a point, and search.png, or under another name."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = type(points[0]).__slots__
    frame = pd.DataFrame([{column: getattr(point, column) for column in columns} for point in points])
    with atomic_path(folder / f"{name}.csv") as temporary:
        frame.to_csv(temporary, index=False)
    with atomic_path(folder / f"{name}.png") as temporary:
        figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def curve_plot(points: Sequence[Point]) -> Figure:
    """Queries a second in batches, milliseconds of one query, and recall@10, each over the size of the KB."""
    panels = (
        ("queries_per_second", "queries/s in batches (log scale)"),
        ("single_ms", "one query alone, ms (log scale)"),
        ("recall_at_10", "recall@10"),
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        for axes, (name, label) in zip(figure.subplots(1, 3), panels, strict=True):
            for colour, kind in zip(PALETTE, dict.fromkeys(point.kind for point in points), strict=False):
                own = [point for point in points if point.kind == kind]
                values = [getattr(point, name) for point in own]
                axes.plot([point.num_entities for point in own], values, marker="o", color=colour, label=kind)
            axes.set_xscale("log")
            if name == "recall_at_10":
                axes.axhline(GOAL_RECALL, color=PALETTE[-1], linestyle=":", label=f"goal {GOAL_RECALL}")
            else:
                axes.set_yscale("log")
            axes.set_xlabel("entities in the KB (log scale)")
            axes.set_ylabel(label)
        figure.axes[-1].legend()
    return figure
