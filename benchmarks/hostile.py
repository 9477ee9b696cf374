"""`dim bench hostile`: a real server is sent bodies that nobody means well by, and others are answered meanwhile."""

from __future__ import annotations

import http.client
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
from rich.table import Table

from benchmarks.clock import say_measured
from benchmarks.hostile_bodies import FORM_BODIES, FORM_TYPE, JSON_BODIES
from benchmarks.serve import write_linker
from benchmarks.serve_process import ANSWER_S, Served, served
from dim.display.terminal import Console
from dim.errors import ConfigError, DimError
from dim.serve.settings import Settings

HEALTH_MS = 250  #: Within which /health answers, at the 99th percentile.
GROWTH_MB = 500  #: By which the server's memory may grow.
QUIET_S = 5  #: For which it is asked before anything is sent.
ASK_S = 0.02  #: Between two questions to /health.
SMALL, LARGE = 100_000, Settings.max_body_bytes  #: Bytes up to which most bodies go, and all.
SHARE_LARGE = 100  #: One of so many is as large as may be.
JSON_ROUTES = ("/link", "/link/batch", "/annotate")
OTHERS = (
    "/health", "/ready", "/metrics", "/about", "/", "/docs", "/openapi.json", "/reload", "/nowhere", "/page/page.js",
    "/entities/Q1/images/0",
)  # fmt: skip

Seen = Counter[tuple[str, str, int]]  #: How often a route answered a kind of body by a status; 0: with none.


def bench_hostile(num_bodies: int = 30_000, attackers: int = 3, seed: int = 0, burst: bool = False) -> dict[str, float]:
    """Sends hostile bodies to all routes of `dim serve` on this machine, and asks /health all the while.

    The KB is a demo world of 1,000 entities, the linker tiny: it is the requests that are looked at. One body of a
    hundred is as large as the server takes.

    Args:
        num_bodies: To send.
        attackers: Processes that send them, each the next when it has its answer.
        seed: Of the bodies and the linker.
        burst: Has all bodies be as large as the server takes, and each attacker be a thread that sends at once, as
            `--num_bodies 60 --attackers 30` does; they share a process.

    Returns:
        What the table shows.

    Raises:
        ConfigError: There is nothing to send.
        DimError: An answer is 5xx but not 503, /health takes more than 250 ms (p99), or memory grows by more than
            500 MB.
    """
    if num_bodies < 1 or attackers < 1:
        raise ConfigError("a body and an attacker at least", f"{num_bodies}, {attackers}", "Change it.")
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        write_linker(place, 1000, None, "cpu", "tiny", seed)
        with served(place / "linker", "cpu", [Settings.batch_size]) as (server,):
            server.ask("/link", '{"mention":"a"}')
            before = memory_mb(server)
            with asking_health(server.port) as quiet:
                time.sleep(QUIET_S)
            with (
                attackers_of(server.port, num_bodies, attackers, seed, burst) as attack,
                asking_health(server.port) as taken,
            ):
                began = time.perf_counter()
                seen = attack()
            seconds = time.perf_counter() - began
            results = {
                "bodies": float(seen.total()),
                "seconds": seconds,
                "health_asked": float(len(taken)),
                "health_quiet_p99": float(np.quantile(quiet, 0.99)),
                "health_p50": float(np.median(taken)),
                "health_p99": float(np.quantile(taken, 0.99)),
                "health_max": max(taken),
                "memory_before": before,
                "memory_growth": memory_mb(server) - before,
                "answers_5xx": float(sum(count for (*_, status), count in seen.items() if is_failure(status))),
                "unanswered": float(sum(count for (*_, status), count in seen.items() if status == 0)),
            }
    _print(results, seen)
    check(results, seen)
    return results


def is_failure(status: int) -> bool:
    """Whether a status says that the server failed."""
    return status >= 500 and status != 503


def check(results: dict[str, float], seen: Seen) -> None:
    """Raises DimError where the results are not within their bounds."""
    failed = sorted(f"{status} at {route} for {kind}" for route, kind, status in seen if is_failure(status))
    found = [f"{len(failed)} kinds of failure: {', '.join(failed[:5])}"] if failed else []
    if results["health_p99"] > HEALTH_MS:
        found.append(f"/health in {results['health_p99']:.0f} ms (p99)")
    if results["memory_growth"] > GROWTH_MB:
        found.append(f"{results['memory_growth']:,.0f} MB more")
    if found:
        expected = f"no 5xx but 503, /health within {HEALTH_MS} ms (p99), and at most {GROWTH_MB:,} MB more"
        raise DimError(expected, "; ".join(found), "Look at the kinds in the table.")


@contextmanager
def attackers_of(port: int, num_bodies: int, attackers: int, seed: int, burst: bool) -> Iterator[Callable[[], Seen]]:
    """Sends the bodies, by processes of their own: their work takes no time from whoever asks for /health here."""
    shares = [num_bodies // attackers + (place < num_bodies % attackers) for place in range(attackers)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1 if burst else attackers, mp_context=context) as pool:

        def attack() -> Seen:
            parts = [pool.submit(send_bodies, port, count, seed + place) for place, count in enumerate(shares)]
            return sum((part.result() for part in parts), Counter())

        if burst:
            pool.submit(make_burst, shares, seed).result()  # before the first is sent
        yield (lambda: pool.submit(send_burst, port).result()) if burst else attack


def send_bodies(port: int, count: int, seed: int) -> Seen:
    """Sends some, one after the other."""
    random, seen = Random(seed), Seen()
    for _ in range(count):
        route, kind, method, content_type, body = drawn(random)
        seen[route, kind, sent(port, method, route, content_type, body)] += 1
    return seen


BURST: list[list[tuple[str, str, str, str, bytes]]] = []  #: Of this process: what each of its threads sends.


def make_burst(shares: list[int], seed: int) -> None:
    """Makes as many of the largest bodies as each share says."""
    random = Random(seed)
    BURST[:] = [[drawn(random, is_large=True) for _ in range(share)] for share in shares]


def send_burst(port: int) -> Seen:
    """Sends the bodies of each share one after the other, and all shares at once."""
    seen = Seen()

    def send(bodies: list[tuple[str, str, str, str, bytes]]) -> None:
        for route, kind, method, content_type, body in bodies:
            seen[route, kind, sent(port, method, route, content_type, body)] += 1

    with ThreadPoolExecutor(len(BURST)) as pool:
        list(pool.map(send, BURST))
    return seen


def drawn(random: Random, is_large: bool = False) -> tuple[str, str, str, str, bytes]:
    """Route, kind, method, type and body of a request."""
    size = LARGE if is_large or random.randrange(SHARE_LARGE) == 0 else int(SMALL ** random.uniform(0.2, 1))
    place = random.random()
    if place < 0.1:
        route, method = random.choice(OTHERS), random.choice(("GET", "POST", "PUT", "DELETE"))
        return route, "any", method, "application/json", random.randbytes(size)
    bodies, content_type = (FORM_BODIES, FORM_TYPE) if place < 0.3 else (JSON_BODIES, "application/json")
    route = "/link/image" if place < 0.3 else random.choice(JSON_ROUTES)
    kind = random.choice(sorted(bodies))
    return route, kind, "POST", content_type, bodies[kind](random, size)[:LARGE]


def sent(port: int, method: str, route: str, content_type: str, body: bytes) -> int:
    """The status of an answer; 0 where the connection ended without one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was sent: the answer may be there
            connection.request(method, route, body, {"Content-Type": content_type})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@contextmanager
def asking_health(port: int) -> Iterator[list[float]]:
    """A list of the milliseconds that /health took, each time it was asked within the block."""
    taken: list[float] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(ASK_S):
            started = time.perf_counter()
            if sent(port, "GET", "/health", "text/plain", b"") != 200:
                taken.append(1000 * ANSWER_S)
            taken.append(1000 * (time.perf_counter() - started))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        done.set()
        thread.join()


def memory_mb(server: Served) -> float:
    """The most that the server's process has had in memory (MB)."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) * 1024 / 1e6


def _print(results: dict[str, float], seen: Seen) -> None:
    of = results.__getitem__
    table = Table(title=f"{of('bodies'):,.0f} bodies in {of('seconds'):,.0f} s")
    statuses = sorted({status for *_, status in seen})
    for column in ("", *(str(status or "none") for status in statuses)):
        table.add_column(column, justify="right" if column else "left")
    for route in sorted({route for route, *_ in seen}):
        counts = [sum(seen[key] for key in seen if key[0] == route and key[2] == status) for status in statuses]
        table.add_row(route, *(f"{count:,}" if count else "" for count in counts))
    Console().print(table)
    Console().say(
        f"/health, asked {of('health_asked'):,.0f} times: p50 {of('health_p50'):.1f} ms, p99 {of('health_p99'):.0f} ms "
        f"({of('health_quiet_p99'):.0f} before; goal: {HEALTH_MS}), longest {of('health_max'):.0f} ms; "
        f"memory {of('memory_before'):,.0f} MB, and {of('memory_growth'):,.0f} MB more at its highest "
        f"(goal: {GROWTH_MB:,})"
    )
    say_measured()
