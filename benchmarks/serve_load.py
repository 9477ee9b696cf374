"""Load on a server, made by Locust in a process of its own: the plan comes on stdin, what was seen goes to stdout.

Run by its path. Locust puts gevent in the place of Python's sockets, so nothing else may import it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

OPEN_CONNECTIONS = 900  #: At most, in the open loop: below the server's own limit.
LAST_ANSWERS_S = 60  #: How long answers are waited for at the end.
WAITS_S = 0.05

Seen = list[tuple[float, float, int, str | None]]  #: Seconds from the begin, milliseconds, status, Retry-After.


def load(
    url: str, bodies: list[str], seconds: float, clients: int, rate: float | None, warm_up_s: float
) -> dict[str, Any]:
    """What clients saw that asked `/link`, in turns, for some time.

    Args:
        url: Of the server.
        bodies: Of the questions, JSON.
        seconds: How long questions are sent.
        clients: Of the closed loop: each asks again when it has its answer.
        rate: Questions a second, sent whether or not others are answered (the open loop); None: the closed loop.
        warm_up_s: The closed loop goes on, for `LAST_ANSWERS_S` at most, until as many answers came after so many
            seconds as there are clients: a machine that is busy with other work may have none within its time.

    Returns:
        `seen`, `sent`, `cpu_s`, the processor time that making the load took, and `lasted`, seconds.
    """
    import gevent  # type: ignore[import-untyped]
    from gevent.pool import Pool  # type: ignore[import-untyped]
    from locust import FastHttpUser, task
    from locust.env import Environment

    seen: Seen = []
    sent, lasted = 0, seconds
    began = time.perf_counter()

    class Client(FastHttpUser):
        host = url
        concurrency = OPEN_CONNECTIONS if rate else 1

        def ask(self) -> None:
            nonlocal sent
            sent += 1
            started, body = time.perf_counter(), bodies[sent % len(bodies)]
            found = self.client.post("/link", data=body, headers={"Content-Type": "application/json"})
            taken = time.perf_counter() - started
            retry = str(found.headers["Retry-After"]) if found.headers and "Retry-After" in found.headers else None
            seen.append((started - began, 1000 * taken, found.status_code or 0, retry))

        @task
        def work(self) -> None:
            if rate:
                self.ask_at(rate)
            else:
                self.ask()

        def ask_at(self, rate: float) -> None:
            pool, start = Pool(), time.perf_counter()
            for place in range(int(rate * seconds)):
                gevent.sleep(max(start + place / rate - time.perf_counter(), 0))
                pool.spawn(self.ask)
            pool.join(LAST_ANSWERS_S)
            self.environment.runner.quit()

    def quit_in_time() -> None:
        nonlocal lasted
        gevent.sleep(seconds)
        while num_counted() < clients and time.perf_counter() - began < seconds + LAST_ANSWERS_S:
            gevent.sleep(WAITS_S)
        lasted = time.perf_counter() - began
        runner.quit()

    def num_counted() -> int:
        return sum(start + taken / 1000 >= warm_up_s for start, taken, _, _ in seen)

    environment = Environment(user_classes=[Client])
    runner = environment.create_local_runner()
    before = _cpu_s()
    runner.start(1 if rate else clients, spawn_rate=1 if rate else clients)
    if rate is None:
        gevent.spawn(quit_in_time)
    with gevent.Timeout(seconds + LAST_ANSWERS_S + 10):
        runner.greenlet.join()
    return {"seen": seen, "sent": sent, "cpu_s": _cpu_s() - before, "lasted": lasted}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    json.dump(load(**json.load(sys.stdin)), sys.stdout)
