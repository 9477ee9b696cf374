"""`dim bench serve`: a real server under load, with batches and without, and asked three times too much."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Table

from benchmarks.clock import say_measured
from benchmarks.made_up_linker import Shape, draw_questions, make_linker, make_world
from benchmarks.serve_clients import idle_ms, measure_closed, measure_open
from benchmarks.serve_compared import Side, bench_compared
from benchmarks.serve_process import PER_REQUEST, served
from dim.display.terminal import Console
from dim.encoders.device import Backend, EncoderPrecision
from dim.errors import ConfigError, MissingExtraError
from dim.linker.backends import with_backend
from dim.methods.contrastive.linker import ContrastiveLinker
from dim.serve.settings import Settings

OVERLOAD = 3  # times the sustainable rate
NUM_QUESTIONS = 2000
_MODES = {"single": 1, "batched": Settings.batch_size}  # questions of a batch, at most
_CAPTION = "each client asks again when it has its answer; in turns"


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
    backend: Backend = "torch",
    precision: EncoderPrecision | None = None,
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
        seconds: Of each turn, which goes on where fewer answers than clients came; asking too much lasts twice as long.
        rounds: Turns of each server.
        device: Where encoder and towers compute.
        shape: Of the made encoder; `tiny` is for tests.
        seed: Of the world, the questions and all weights.
        workers: More than one: in the place of all this, a server of so many processes against one of one process, in
            turns: their start, answers and memory.
        backend: Another than torch: in the place of all this, a server of the same linker whose text encoder it
            computes against one of torch, in turns, as with `workers`.
        precision: Of the second server's encoder; None: fp32.

    Returns:
        What the tables show.

    Raises:
        ConfigError: There is nothing to measure, more than one thing is to be compared, there are more clients than a
            server accepts questions, or the backend's package is missing.
        MissingExtraError: Locust is not installed.
    """
    most = Settings.queue_size // PER_REQUEST
    if rounds < 1 or seconds < 0.5 or not 1 <= clients <= most:
        found = f"{rounds} rounds, {seconds:g} s, {clients} clients"
        raise ConfigError(f"a round, half a second and 1 to {most} clients at least", found, "Change it.")
    is_other_backend = backend != "torch" or precision is not None
    if workers > 1 and is_other_backend:
        found = f"{workers} workers and the backend {backend}"
        raise ConfigError("one thing to compare: workers, or a backend", found, "Leave one out.")
    if find_spec("locust") is None:
        raise MissingExtraError("locust", "bench")
    title = (
        f"{num_entities:,} entities, {text_encoder.name if text_encoder else f'{shape} (random)'}, {clients} clients"
    )
    if workers > 1 or is_other_backend:
        with TemporaryDirectory() as temporary:
            place = Path(temporary)
            with Console(stderr=True).status("the world and the linker"):
                linker, questions = write_linker(place, num_entities, text_encoder, device, shape, seed)
                sides = _of_workers(place, workers) if workers > 1 else _of_backend(place, linker, backend, precision)
            compared = bench_compared(sides, questions, clients, seconds, rounds, device, title)
        _print_facts(rounds, seconds)
        return compared
    with TemporaryDirectory() as temporary, ExitStack() as stack:
        with Console(stderr=True).status("the world, the linker and two servers"):
            place = Path(temporary)
            _, questions = write_linker(place, num_entities, text_encoder, device, shape, seed)
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
    _print(results, title)
    _print_facts(rounds, seconds)
    return results


def write_linker(
    place: Path, num_entities: int, text_encoder: Path | None, device: str, shape: Shape, seed: int
) -> tuple[ContrastiveLinker, list[dict[str, str]]]:
    """Writes `place`/linker, and gives it with questions to it."""
    world, encoder = make_world(place, num_entities, text_encoder, shape, seed)
    linker, _ = make_linker(world, encoder, device, "exact", seed)
    linker.save(place / "linker")
    return linker, [{"mention": q.mention, "context": q.context} for q in draw_questions(world, NUM_QUESTIONS, seed)]


def _of_workers(place: Path, workers: int) -> tuple[Side, Side]:
    folder = place / "linker"
    one = Side("one", "one process", folder, ("--workers", "1"))
    return one, Side("many", f"{workers} processes", folder, ("--workers", str(workers)))


def _of_backend(
    place: Path, linker: ContrastiveLinker, backend: Backend, precision: EncoderPrecision | None
) -> tuple[Side, Side]:
    """Writes the linker with its encoder by a backend beside the one of torch."""
    linker.about = with_backend(linker.about, linker.live, backend, precision)
    linker.save(place / "other")
    label = f"{backend} {precision or 'fp32'}"
    return Side("torch", "torch", place / "linker"), Side("backend", label, place / "other")


def _print_facts(rounds: int, seconds: float) -> None:
    facts = f"{rounds} turns of {seconds:g} s · load {os.getloadavg()[0]:.1f} at the end"
    say_measured(facts)


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
    Console().say(
        f"SIGTERM: {of('in_flight'):,.0f} questions in flight; accepted {of('accepted'):,.0f}, "
        f"answered {of('answered'):,.0f} (goal: all)"
    )
    share = f"{of('open_locust_share'):.0%} of a core when too much is asked"
    Console().say(f"Locust takes {of('locust_ms'):.2f} ms a question, and {share}")


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
