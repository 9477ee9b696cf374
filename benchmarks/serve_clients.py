"""What clients see of servers under load: answers a second, milliseconds an answer, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.serve_process import Served, highest_memory
from dim.errors import DimError

NUM_IDLE = 20  #: Questions one after the other, for the time of an answer without load.
WARM_UP = 0.1  #: Of the time of a load, that is not counted.
_LOAD = Path(__file__).with_name("serve_load.py")

Seen = list[tuple[float, float, int, str | None]]


def idle_ms(server: Served, questions: Sequence[dict[str, str]]) -> float:
    """Milliseconds of an answer, one question after the other; the median.

    Raises:
        DimError: There was another answer.
    """
    taken = []
    for question in questions[:NUM_IDLE]:
        started = perf_counter()
        status, answer = server.ask("/link", json.dumps(question))
        taken.append(1000 * (perf_counter() - started))
        if status != 200:
            raise DimError("200", f"{status}: {answer.decode()}", "Look at the server.")
    return float(np.median(taken))


def load(
    server: Served, questions: Sequence[dict[str, str]], seconds: float, clients: int = 1, rate: float | None = None
) -> dict[str, Any]:
    """What Locust saw: see `benchmarks.serve_load.load`.

    Raises:
        DimError: It failed, or did not end.
    """
    plan = {
        "url": server.url,
        "bodies": [json.dumps(question) for question in questions],
        "seconds": seconds,
        "clients": clients,
        "rate": rate,
        "warm_up_s": WARM_UP * seconds,
    }
    done = subprocess.run(
        [sys.executable, "-P", str(_LOAD)],  # -P: this folder's files are no top-level modules
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=seconds + 150,
    )
    if done.returncode:
        raise DimError("a load by Locust", f"exit {done.returncode}: {done.stderr[-2000:]}", "Run it by hand.")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure_closed(
    servers: dict[str, Served], questions: Sequence[dict[str, str]], clients: int, seconds: float, rounds: int
) -> dict[str, float]:
    """Answers a second and milliseconds an answer of each server, in turns; the first tenth of each turn warms up.

    `cpu_ms` is the processor time of all of a server's processes and threads for an answer, warm-up included.
    `ratio` is that of the last server's answers a second to the first one's.
    """
    rates: dict[str, list[float]] = {mode: [] for mode in servers}
    taken: dict[str, list[float]] = {mode: [] for mode in servers}
    cpu_s, num_seen = dict.fromkeys(servers, 0.0), dict.fromkeys(servers, 0)
    refused, cpu, asked = 0, 0.0, 0
    before = {mode: _batches(server) for mode, server in servers.items()}
    for place in range(rounds):
        for mode in list(servers)[:: -1 if place % 2 else 1]:
            began_s = servers[mode].cpu_s()
            found = load(servers[mode], questions, seconds, clients)
            cpu_s[mode] += servers[mode].cpu_s() - began_s
            num_seen[mode] += len(found["seen"])
            ended = [(start + ms / 1000, ms, status) for start, ms, status, _ in found["seen"]]
            first_s, last_s = WARM_UP * seconds, found["lasted"]
            counted = [ms for end, ms, status in ended if status == 200 and first_s <= end <= last_s]
            rates[mode].append(len(counted) / (last_s - first_s))
            taken[mode] += counted
            refused += sum(status != 200 for _, _, status in ended)
            cpu, asked = cpu + found["cpu_s"], asked + found["sent"]
    results: dict[str, float] = {"closed_refused": refused, "locust_ms": 1000 * cpu / asked}
    for mode, server in servers.items():
        if not taken[mode]:
            raise DimError("answers", "none", "Let it last longer: --seconds.")
        batches, batched = (after - then for after, then in zip(_batches(server), before[mode], strict=True))
        results |= {
            f"{mode}_rate": float(np.median(rates[mode])),
            f"{mode}_p50": float(np.median(taken[mode])),
            f"{mode}_p99": float(np.quantile(taken[mode], 0.99)),
            f"{mode}_cpu_ms": 1000 * cpu_s[mode] / num_seen[mode],
            f"{mode}_batch": batched / batches,
        }
    of_each = list(rates.values())
    pairs = zip(of_each[-1], of_each[0], strict=True)
    return results | {"ratio": float(np.median([ours / theirs for ours, theirs in pairs]))}


def _batches(server: Served) -> tuple[float, float]:
    return server.metric("dim_batch_questions_count"), server.metric("dim_batch_questions_sum")


def measure_open(server: Served, questions: Sequence[dict[str, str]], rate: float, seconds: float) -> dict[str, float]:
    """What comes of questions that are sent at a rate, whether or not others are answered, and of memory meanwhile."""
    before = server.memory_mb()
    with highest_memory(server) as memory:
        found = load(server, questions, seconds, rate=rate)
    after_ms = idle_ms(server, questions)
    seen: Seen = found["seen"]
    answered = [ms for _, ms, status, _ in seen if status == 200]
    busy = [ms for _, ms, status, retry in seen if status == 503 and (retry or "").isdigit()]
    lasted = max(start for start, *_ in seen)
    return {
        "open_wanted": rate,
        "open_rate": found["sent"] / lasted,
        "open_sent": found["sent"],
        "open_answered": len(answered),
        "open_busy": len(busy),
        "open_other": found["sent"] - len(answered) - len(busy),
        "open_answered_rate": len(answered) / (max(start + ms / 1000 for start, ms, *_ in seen)),
        "open_p50": float(np.median(answered)) if answered else 0.0,
        "open_p99": float(np.quantile(answered, 0.99)) if answered else 0.0,
        "open_busy_p99": float(np.quantile(busy, 0.99)) if busy else 0.0,
        "open_locust_share": found["cpu_s"] / lasted,
        "memory_before": before,
        "memory_highest": memory[-1],
        "memory_after": server.memory_mb(),
        "open_after_ms": after_ms,
    }
