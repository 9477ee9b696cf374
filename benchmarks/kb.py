"""`dim bench kb`: a saved linker over a growing KB: opened, asked and added to, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.table import Table

from benchmarks.clock import say_measured
from dim.core.files import atomic_path
from dim.core.output import FRESH, check_file, check_target
from dim.display.terminal import Console
from dim.errors import ConfigError, DimError
from dim.report.plots import PALETTE, STYLE

SIZES = (20_000, 200_000, 1_000_000)
VECTORS, OTHERS = ("index", "sparse"), ("entities.arrow", "names", "facts")
#: What is measured → its label, how it is shown, and the goal at the largest size.
ROWS = {
    "index": ("index", "{}", ""),
    "open_s": ("open, s", "{:.2f}", "≤ 2"),
    "open_cpu_s": ("open, s of the processor", "{:.2f}", ""),
    "first_s": ("the first link, s", "{:.2f}", ""),
    "anon_mb": ("memory of its own after 1,000 links, MB", "{:,.0f}", ""),
    "resident_mb": ("with what it has mapped, MB", "{:,.0f}", "≤ 1,500"),
    "bytes": ("disk an entity beside vectors, bytes", "{:,.0f}", "≤ 1,200"),
    "vector_bytes": ("disk of an entity's vectors, bytes", "{:,.0f}", ""),
    "link_wall_ms": ("a link, p50, ms", "{:.1f}", ""),
    "link_ms": ("a link, p50, ms of the processor", "{:.1f}", ""),
    "ratio": ("of it at the smallest size", "{:.2f}", "≤ 1.5"),
    "encode_ms": ("encoding, ms of the processor", "{:.1f}", ""),
    "vectors_ms": ("search by vector", "{:.1f}", ""),
    "names_ms": ("search by name", "{:.1f}", ""),
    "recall": ("the 32 nearest that are found", "{:.4f}", "≥ 0.99"),
    "add_s": ("add 1,000 and link, s", "{:.2f}", "≤ 1"),
    "add_again_s": ("add one more and link, s", "{:.2f}", ""),
}


def bench_kb(
    sizes: Sequence[int] = SIZES, folder: Path | None = None, out: Path | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Makes and saves a linker of made-up entities of one to three names for each size, and measures it.

    The dense vectors are drawn: 384 wide, around 10,000 centres; questions stand near their golds. Texts of a question
    are encoded by a BERT of MiniLM's shape on one thread; those of an entity that is added are not. The index is the
    one that `auto` chooses. A million takes 5.5 GB of memory to make, and some 7 minutes; six million 17 GB, and 40.

    Args:
        sizes: Entities of each KB.
        folder: Where the linkers are written and kept, new or empty; by default a temporary one.
        out: Folder for kb.json and kb.png.
        seed: Of all that is drawn.

    Returns:
        What was measured, one a size, smallest first.

    Raises:
        ConfigError: A size is too small to draw from, or `folder` holds something.
    """
    if min(sizes, default=0) < 1:
        raise ConfigError("sizes from 1 up", f"{list(sizes)}", "Raise them.")
    if folder is not None:
        check_target(folder, FRESH)
    if out is not None:
        check_kb(out)
    results: list[dict[str, Any]] = []
    with TemporaryDirectory() as temporary:
        for size in sorted(sizes):
            place = (folder or Path(temporary)) / str(size)
            place.mkdir(parents=True)
            found = _run("kb_linker", size, place, str(size), str(seed)) | _run("kb_process", size, place)
            found |= {"size": size, "load": os.getloadavg()[0]} | _disk(place / "linker", size)
            found["resident_mb"] = found["anon_mb"] + found["mapped_mb"]
            results.append(found)
            results[-1]["ratio"] = found["link_ms"] / results[0]["link_ms"]
            if out is not None:  # what was measured in an hour is not lost with the next size
                write_kb(results, out)
    Console().print(kb_table(results))
    loads = ", ".join(f"{each['load']:.1f}" for each in results)
    say_measured(f"load at the end of each: {loads}")
    if out is not None:
        Console().say(f"wrote {out / 'kb.json'} and {out / 'kb.png'}")
    return results


def _run(module: str, size: int, place: Path, *others: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", str(place), *others],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise DimError(f"a process of {module} over {size:,} entities", f"exit {done.returncode}", done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _disk(linker: Path, size: int) -> dict[str, float]:
    def of(names: Sequence[str]) -> float:
        files = [file for name in names for file in (linker / name, *(linker / name).rglob("*")) if file.is_file()]
        return sum(file.stat().st_size for file in files) / size

    return {"vector_bytes": of(VECTORS), "bytes": of(OTHERS)}


def kb_table(results: Sequence[dict[str, Any]]) -> Table:
    """What was measured, a size a column."""
    table = Table(title="a saved linker over a growing KB", caption="p50 of 1,000 links, one at a time, on one thread")
    table.add_column("entities")
    for each in results:
        table.add_column(f"{each['size']:,}", justify="right")
    table.add_column("goal at the largest", justify="right")
    for name, (label, shown, goal) in ROWS.items():
        table.add_row(label, *(shown.format(each[name]) for each in results), goal)
    return table


def check_kb(folder: Path) -> None:
    """Raises ConfigError where `write_kb` would write over files of somebody else."""
    for name in ("kb.json", "kb.png"):
        check_file(folder / name, "what was measured", lambda _: (folder / "kb.json").is_file())


def write_kb(results: Sequence[dict[str, Any]], folder: Path) -> None:
    """Writes kb.json and kb.png: p50 of a link and memory, each over the size of the KB."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "kb.json") as temporary:
        temporary.write_text(json.dumps(list(results), indent=2) + "\n")
    with atomic_path(folder / "kb.png") as temporary:
        kb_plot(results).savefig(temporary, format="png", dpi=150, facecolor="white")


def kb_plot(results: Sequence[dict[str, Any]]) -> Figure:
    """Milliseconds of a link and of its parts, and megabytes, over the size of the KB."""
    panels = {
        "a link, ms of the processor": {
            "link_ms": "link", "encode_ms": "encoding", "vectors_ms": "by vector", "names_ms": "by name",
        },
        "memory after 1,000 links, MB": {"resident_mb": "resident", "anon_mb": "of its own"},
    }  # fmt: skip
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        for axes, (label, lines) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            for colour, (name, told) in zip(PALETTE, lines.items(), strict=False):
                values = [each[name] for each in results]
                axes.plot([each["size"] for each in results], values, marker="o", color=colour, label=told)
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.set_xlabel("entities in the KB (log scale)")
            axes.set_ylabel(label)
            axes.legend()
    return figure
