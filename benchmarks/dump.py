"""`dim bench dump`: a dump of Wikidata's shape into a KB, against `json.loads` alone of the same lines."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.table import Table

from benchmarks.clock import say_measured
from benchmarks.made_up_dump import write_dump
from dim.core.output import FRESH, check_target
from dim.data.dataset import Dataset
from dim.display.terminal import Console

MAX_RATIO, MAX_MEMORY = 2.5, 500  # against json.loads with two cores, and MB of all processes together: the goals
_EACH = 0.05  # seconds between two looks at the memory
_LINES = 1000  # that are loaded between two looks at the clock

_LOAD = f"""
import bz2, gzip, itertools, json, sys, time
start, loading = time.perf_counter(), 0.0
opened = {{"gz": gzip.open, "bz2": bz2.open}}.get(sys.argv[1].rpartition(".")[2], open)
with opened(sys.argv[1], "rb") as file:
    while lines := [line.strip(b",\\n") for line in itertools.islice(file, {_LINES})]:
        lines = [line for line in lines if line not in (b"[", b"]")]
        before = time.perf_counter()
        for line in lines:
            json.loads(line)
        loading += time.perf_counter() - before
print(json.dumps([loading, time.perf_counter() - start]))
"""
_PREPARE = """
import sys
from pathlib import Path
from dim.releases.prepare import prepare
prepare(Path(sys.argv[1]), Path(sys.argv[2]), languages="en,de", classes=sys.argv[3] or None)
"""


def bench_dump(
    num_lines: int = 2_000_000,
    packed: str = "gz",
    classes: str = "",
    folder: Path | None = None,
    rounds: int = 1,
    seed: int = 0,
) -> dict[str, float]:
    """Times `dim prepare` of a made-up dump, and `json.loads` of each of its lines in one process, in turns.

    All of `dim prepare` counts: start, imports, unpacking, writing. Of the other, loading alone counts, without the
    unpacking; its whole time stands beside it. Memory is that of all processes together, every 50 ms (Linux).

    Args:
        num_lines: Items, about 3.7 kB each.
        packed: `gz`, `bz2`, or `none`.
        classes: As of `dim prepare`: `Q5` keeps a fifth. By default all items are entities, which takes longest.
        folder: Where the dump is written and kept, a new or empty folder; by default a temporary one.
        rounds: How often each is run; seconds are medians, memory is the greatest.
        seed: Of the dump.

    Returns:
        Seconds of each, their ratio, the entities a second, and the peak of memory in MB.

    Raises:
        ConfigError: `folder` holds something.
    """
    with TemporaryDirectory() as temporary:
        place = Path(temporary) / "dump" if folder is None else Path(folder)
        check_target(place, FRESH)
        place.mkdir(parents=True, exist_ok=True)
        dump = place / ("all.json" if packed == "none" else f"all.json.{packed}")
        num_bytes = write_dump(dump, num_lines, seed=seed)
        turns = []
        for number in range(rounds):
            out = Path(temporary) / f"kb{number}"
            before = _processor()
            seconds, memory = _prepare(dump, out, classes)
            worked = _processor() - before
            loading, whole = _load(dump)
            turns.append((seconds, memory, loading, whole, worked, _processor() - before - worked))
        num_entities = Dataset(out).meta["num_entities"]
    seconds, _, loading, whole, worked, loaded = (median(column) for column in zip(*turns, strict=True))
    results = {
        "prepare_seconds": seconds,
        "load_seconds": loading,
        "load_and_unpack_seconds": whole,
        "prepare_processor_seconds": worked,
        "load_and_unpack_processor_seconds": loaded,
        "ratio": median(turn[0] / turn[2] for turn in turns),
        "entities_per_second": num_entities / seconds,
        "lines_per_second": num_lines / seconds,
        "memory": max(turn[1] for turn in turns),
    }
    _print(f"{num_lines:,} lines, {num_bytes / 1e6:,.0f} MB, {packed}; {num_entities:,} entities", results, rounds)
    return results


def _processor() -> float:
    """Seconds of the processor that all ended children took, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _load(dump: Path) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", _LOAD, str(dump)], stdout=subprocess.PIPE, text=True, check=True)
    loading, whole = json.loads(done.stdout)
    return loading, whole


def _prepare(dump: Path, out: Path, classes: str) -> tuple[float, float]:
    """Seconds, and the peak of memory (MB) of the process and its children."""
    start, peak = time.perf_counter(), 0.0
    command = [sys.executable, "-c", _PREPARE, str(dump), str(out), classes]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(_EACH)
        seconds = time.perf_counter() - start
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[:1])
    return seconds, peak


def memory_of(pid: int) -> float:
    """The memory (MB, RSS) of a process and all below it, each shared page counted with each; 0 where nobody says."""
    place, found = Path("/proc") / str(pid), 0.0
    with suppress(OSError, StopIteration):  # it may have ended
        lines = (place / "status").read_text().splitlines()
        found += int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6
        for task in (place / "task").iterdir():
            found += sum(map(memory_of, map(int, (task / "children").read_text().split())))
    return found


def _print(title: str, results: dict[str, float], rounds: int) -> None:
    table = Table(title=title)
    for column in ("", "seconds", "of the processor", "ratio", "lines/s", "peak MB"):
        table.add_column(column, justify="left" if column == "" else "right")
    table.add_row("json.loads alone", f"{results['load_seconds']:.2f}", "", "1.00", "", "")
    unpacked = (f"{results[f'load_and_unpack_{what}seconds']:.2f}" for what in ("", "processor_"))
    table.add_row("and unpacking", *unpacked, "", "", "")
    table.add_row(
        "dim prepare",
        f"{results['prepare_seconds']:.2f}",
        f"{results['prepare_processor_seconds']:.2f}",
        f"{results['ratio']:.2f}",
        f"{results['lines_per_second']:,.0f}",
        f"{results['memory']:,.0f}",
    )
    Console().print(table)
    goals = f"goals: ratio ≤ {MAX_RATIO}, memory ≤ {MAX_MEMORY} MB"
    Console().say(f"{results['entities_per_second']:,.0f} entities a second; {goals}")
    say_measured(f"{rounds} rounds")
