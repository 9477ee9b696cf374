"""`dim bench serve --workers N` and `--backend …`: a server against another one, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks.serve_clients import idle_ms, measure_closed
from benchmarks.serve_process import timed_server
from dim.display.terminal import Console


@dataclass(frozen=True)
class Side:
    """One of two servers.

    Attributes:
        name: What its results begin with.
        label: What the table calls it.
        folder: Of its linker.
        words: Further ones of its line.
    """

    name: str
    label: str
    folder: Path
    words: tuple[str, ...] = ()


def bench_compared(
    sides: tuple[Side, Side],
    questions: Sequence[dict[str, str]],
    clients: int,
    seconds: float,
    rounds: int,
    device: str,
    title: str,
) -> dict[str, float]:
    """Start, answers and memory of both, which run at the same time and are asked in turns.

    Args:
        sides: The servers; ratios are the second's to the first's.
        questions: To ask.
        clients: Of the closed loop.
        seconds: Of each turn.
        rounds: Turns of each.
        device: Where they compute.
        title: Of the table.

    Returns:
        What the table shows. Memory is that of all processes of a server, once it has answered a few questions and
        while the other one does not run; a page that several processes have counts once (proportional set size).
    """
    results: dict[str, float] = {}
    for side in sides:
        status = Console(stderr=True).status(f"a server: {side.label}")
        with status, timed_server(side.folder, device, *side.words) as (server, start_s):
            results |= {f"{side.name}_start_s": start_s, f"{side.name}_idle_ms": idle_ms(server, questions)}
            results[f"{side.name}_memory_mb"] = server.own_memory_mb()
    with Console(stderr=True).status("load"), ExitStack() as stack:
        servers = {side.name: stack.enter_context(timed_server(side.folder, device, *side.words))[0] for side in sides}
        results |= measure_closed(servers, questions, clients, seconds, rounds)
    _print(results, sides, title)
    return results


def _print(results: dict[str, float], sides: tuple[Side, Side], title: str) -> None:
    table = Table(title=title, caption="each client asks again when it has its answer; in turns")
    for column in ("", *(side.label for side in sides), "ratio"):
        table.add_column(column, justify="right" if column else "left")
    rows = (
        ("start_s", "start until ready, s", 1),
        ("rate", "answers a second", 0),
        ("p50", "an answer, p50, ms", 0),
        ("p99", "p99, ms", 0),
        ("cpu_ms", "processor an answer, ms", 1),
        ("idle_ms", "without load, p50, ms", 1),
        ("batch", "questions a batch", 1),
        ("memory_mb", "memory, MB", 0),
    )
    for name, label, digits in rows:
        one, other = (results[f"{side.name}_{name}"] for side in sides)
        ratio = results["ratio"] if name == "rate" else other / one
        table.add_row(label, f"{one:,.{digits}f}", f"{other:,.{digits}f}", f"{ratio:.2f}")
    Console().print(table)
