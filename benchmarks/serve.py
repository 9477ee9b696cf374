"""`dim bench serve`: a real server under load, with batches and without, and asked three times too much."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rich.table import Table

from benchmarks.made_up_linker import Shape, draw_questions, make_linker, make_world
from benchmarks.serve_process import PER_REQUEST, Served, highest_memory, served
from dim.core.provenance import commit, hardware
from dim.display.terminal import Console
from dim.errors import ConfigError, DimError, MissingExtraError
from dim.methods.contrastive.linker import ContrastiveLinker
from dim.serve.settings import Settings

OVERLOAD = 3  # times the sustainable rate
NUM_QUESTIONS = 2000
NUM_IDLE = 20  # questions one after the other, for the time of an answer without load
WARM_UP = 0.1  # of the time of a load, that is not counted
_LOAD = Path(__file__).with_name("serve_load.py")
_MODES = {"single": 1, "batched": Settings.batch_size}  # questions of a batch, at most
_CAPTION = "each client asks again when it has its answer; in turns"

Seen = list[tuple[float, float, int, str | None]]


def bench_serve(
    num_entities: int = 18_880,
    text_encoder: Path | None = None,
    clients: int = 32,
    seconds: float = 10,
    rounds: int = 3,
    device: str = "cpu",
    shape: Shape = "minilm",
    seed: int = 0,
    workers: int = 1,
) -> dict[str, float]:
    """Loads `dim serve` on this machine by Locust: text only, a name and its context, a request each.

    The KB is a demo world, and towers, ranker and, unless a folder is named, the text encoder have random weights. Two
    servers run, which answer one question at a time, and up to 32; clients in a closed loop ask them in turns. Then the
    second is asked three times the questions a second that it answered, whether it answers or not. At last both are
    stopped by SIGTERM while clients wait. Locust shares the processor with the servers.

    Args:
        num_entities: Of the KB; at least 1,000.
        text_encoder: The folder of a Transformers text encoder; None: a BERT of MiniLM's shape.
        clients: Of the closed loop.
        seconds: Of each turn; asking too much lasts twice as long.
        rounds: Turns of each server.
        device: Where encoder and towers compute.
        shape: Of the made encoder; `tiny` is for tests.
        seed: Of the world, the questions and all weights.
        workers: More than one: in the place of all this, a server of so many processes against one of one process, in
            turns: their start, answers and memory.

    Returns:
        What the tables show.

    Raises:
        ConfigError: There is nothing to measure, or there are more clients than a server accepts questions.
        MissingExtraError: Locust is not installed.
    """
    most = Settings.queue_size // PER_REQUEST
    if rounds < 1 or seconds < 0.5 or not 1 <= clients <= most:
        found = f"{rounds} rounds, {seconds:g} s, {clients} clients"
        raise ConfigError(f"a round, half a second and 1 to {most} clients at least", found, "Change it.")
    if find_spec("locust") is None:
        raise MissingExtraError("locust", "bench")
    if workers > 1:
        from benchmarks.serve_workers import bench_workers  # which measures by what stands here

        with TemporaryDirectory() as temporary:
            questions = write_linker(Path(temporary), num_entities, text_encoder, device, shape, seed)
            compared = bench_workers(Path(temporary) / "linker", questions, workers, clients, seconds, rounds, device)
        Console().print(f"{num_entities:,} entities, {hardware()} · commit {commit()}", soft_wrap=True)
        return compared
    with TemporaryDirectory() as temporary, ExitStack() as stack:
        with Console(stderr=True).status("the world, the linker and two servers"):
            place = Path(temporary)
            questions = write_linker(place, num_entities, text_encoder, device, shape, seed)
            both = stack.enter_context(served(place / "linker", device, list(_MODES.values())))
            servers = dict(zip(_MODES, both, strict=True))
            results = {f"{mode}_idle_ms": idle_ms(server, questions) for mode, server in servers.items()}
        with Console(stderr=True).status("load"):
            results |= measure_closed(servers, questions, clients, seconds, rounds)
            rate = OVERLOAD * results["batched_rate"]
            results |= measure_open(servers["batched"], questions, rate, 2 * seconds)
            for server in servers.values():
                for name, count in server.stop_in_flight(questions, clients).items():
                    results[name] = results.get(name, 0) + count
    model = text_encoder.name if text_encoder else f"{shape} (random)"
    _print(results, f"{num_entities:,} entities, {model}, {clients} clients")
    facts = f"{torch.get_num_threads()} threads, {rounds} turns of {seconds:g} s"
    Console().print(f"{hardware()} · commit {commit()} · {facts}", soft_wrap=True)
    return results


def write_linker(
    place: Path, num_entities: int, text_encoder: Path | None, device: str, shape: Shape, seed: int
) -> list[dict[str, str]]:
    """Writes `place`/linker, and gives questions to it."""
    world, encoder = make_world(place, num_entities, text_encoder, shape, seed)
    linker, _ = make_linker(world, encoder, device, "exact", seed)
    linker.about["recipe"] = _recipe(linker, encoder, device)
    linker.save(place / "linker")
    return [{"mention": q.mention, "context": q.context} for q in draw_questions(world, NUM_QUESTIONS, seed)]


def _recipe(linker: ContrastiveLinker, encoder: Path, device: str) -> dict[str, Any]:
    """How a server makes again what `make_linker` made."""
    options = {"path": str(encoder), "device": device}
    return {
        "model": {"class_path": "dim.methods.contrastive.module.DIM", "init_args": {"width": linker.towers.task.width}},
        "encoders": {
            "text_encoder": {"class_path": "dim.encoders.text.TransformersTextEncoder", "init_args": options},
            "name_encoder": {"class_path": "dim.encoders.characters.CharacterEncoder"},
        },
        "context_template": linker.towers.live.context_template,
    }


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

    `ratio` is that of the last server's answers a second to the first one's.
    """
    rates: dict[str, list[float]] = {mode: [] for mode in servers}
    taken: dict[str, list[float]] = {mode: [] for mode in servers}
    refused, cpu, asked = 0, 0.0, 0
    before = {mode: _batches(server) for mode, server in servers.items()}
    for place in range(rounds):
        for mode in list(servers)[:: -1 if place % 2 else 1]:
            found = load(servers[mode], questions, seconds, clients)
            ended = [(start + ms / 1000, ms, status) for start, ms, status, _ in found["seen"]]
            counted = [ms for end, ms, status in ended if status == 200 and WARM_UP * seconds <= end <= seconds]
            rates[mode].append(len(counted) / ((1 - WARM_UP) * seconds))
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
            f"{mode}_batch": batched / batches,
        }
    first, *_, last = rates.values()
    return results | {"ratio": float(np.median([ours / theirs for ours, theirs in zip(last, first, strict=True)]))}


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


def _print(results: dict[str, float], title: str) -> None:
    of = results.__getitem__
    table = Table(title=title, caption=_CAPTION)
    for column in ("", *(f"batches of ≤ {size}" for size in _MODES.values()), "ratio"):
        table.add_column(column, justify="right" if column else "left")
    values = [f"{of(f'{mode}_rate'):,.0f}" for mode in _MODES]
    table.add_row("answers a second", *values, f"{of('ratio'):.2f}")
    for name, label in (("p50", "an answer, p50, ms"), ("p99", "p99, ms"), ("idle_ms", "without load, p50, ms")):
        single, batched = of(f"single_{name}"), of(f"batched_{name}")
        table.add_row(label, f"{single:,.1f}", f"{batched:,.1f}", f"{batched / single:.2f}")
    table.add_row("questions a batch", *(f"{of(f'{mode}_batch'):.1f}" for mode in _MODES), "")
    Console().print(table)
    _print_open(results)
    Console().print(
        f"SIGTERM: {of('in_flight'):,.0f} questions in flight; accepted {of('accepted'):,.0f}, "
        f"answered {of('answered'):,.0f} (goal: all)",
        soft_wrap=True,
    )
    share = f"{of('open_locust_share'):.0%} of a core when too much is asked"
    Console().print(f"Locust takes {of('locust_ms'):.2f} ms a question, and {share}", soft_wrap=True)


def _print_open(results: dict[str, float]) -> None:
    of, sent = results.__getitem__, results["open_sent"]
    title = (
        f"{of('open_rate'):,.0f} questions a second, {of('open_rate') / of('batched_rate'):.1f} times what it answers"
    )
    table = Table(title=title)
    for column in ("", "measured", "goal"):
        table.add_column(column, justify="right" if column else "left")
    for name, label, goal in (
        ("answered", "answered, 200", ""),
        ("busy", "503 with Retry-After", "the rest"),
        ("other", "anything else", "0"),
    ):
        table.add_row(label, f"{of(f'open_{name}'):,.0f} ({of(f'open_{name}') / sent:.1%})", goal)
    rate = of("open_answered_rate")
    table.add_row("answers a second", f"{rate:,.0f} ({rate / of('batched_rate'):.0%} of the above)", "")
    for name, label in (
        ("p50", "an answer, p50"),
        ("p99", "p99"),
        ("busy_p99", "503, p99"),
        ("after_ms", "afterwards"),
    ):
        table.add_row(label, f"{of(f'open_{name}'):,.0f} ms", "")
    for name in ("before", "highest", "after"):
        table.add_row(f"memory, {name}", f"{of(f'memory_{name}'):,.0f} MB", "bounded" if name == "highest" else "")
    Console().print(table)
