"""`dim bench serve --workers N`: a server of N processes against one of one process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from rich.table import Table

from benchmarks.serve import idle_ms, measure_closed
from benchmarks.serve_process import Served, timed_server
from dim.display.terminal import Console


def bench_workers(
    folder: Path,
    questions: Sequence[dict[str, str]],
    workers: int,
    clients: int,
    seconds: float,
    rounds: int,
    device: str,
) -> dict[str, float]:
    """Start, answers and memory of both, which run at the same time and are asked in turns.

    Args:
        folder: Of the linker.
        questions: To ask.
        workers: Processes of the second server.
        clients: Of the closed loop.
        seconds: Of each turn.
        rounds: Turns of each.
        device: Where they compute.

    Returns:
        What the table shows. Memory is that of all processes of a server, once it has answered a few questions and
        while the other one does not run; a page that several processes have counts once (proportional set size).
    """
    results: dict[str, float] = {}
    counts = {"one": 1, "many": workers}
    for name, count in counts.items():
        with Console(stderr=True).status(f"a server of {count}"), _server(folder, device, count) as (server, start_s):
            results |= {f"{name}_start_s": start_s, f"{name}_idle_ms": idle_ms(server, questions)}
            results[f"{name}_memory_mb"] = server.own_memory_mb()
    with Console(stderr=True).status("load"), ExitStack() as stack:
        servers = {name: stack.enter_context(_server(folder, device, count))[0] for name, count in counts.items()}
        results |= measure_closed(servers, questions, clients, seconds, rounds)
    _print(results, workers, clients)
    return results


def _server(folder: Path, device: str, workers: int) -> AbstractContextManager[tuple[Served, float]]:
    return timed_server(folder, device, "--workers", str(workers))


def _print(results: dict[str, float], workers: int, clients: int) -> None:
    caption = f"{clients} clients; each asks again when it has its answer; in turns"
    table = Table(title=f"dim serve --workers {workers} against one process", caption=caption)
    for column in ("", "one", str(workers), "ratio"):
        table.add_column(column, justify="right" if column else "left")
    rows = (
        ("start_s", "start until ready, s", 1),
        ("rate", "answers a second", 0),
        ("p50", "an answer, p50, ms", 0),
        ("p99", "p99, ms", 0),
        ("idle_ms", "without load, p50, ms", 1),
        ("batch", "questions a batch", 1),
        ("memory_mb", "memory, MB", 0),
    )
    for name, label, digits in rows:
        one, many = results[f"one_{name}"], results[f"many_{name}"]
        ratio = results["ratio"] if name == "rate" else many / one
        table.add_row(label, f"{one:,.{digits}f}", f"{many:,.{digits}f}", f"{ratio:.2f}")
    Console().print(table)
