"""Real `dim serve`s, each in a process of its own on a free port of this machine, for benches."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from dim.errors import DimError

START_S, STOP_S, ANSWER_S = 300, 90, 60  #: Seconds after which it is given up.
SAMPLE_S = 0.1
PER_REQUEST = 8  #: Questions of a request that is in flight when the server is stopped.


@dataclass
class Served:
    """A server that runs.

    Attributes:
        process: Its own.
        port: Of 127.0.0.1.
    """

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Status and body of an answer; with a body to a POST."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            connection.request("POST" if body else "GET", path, body, {"Content-Type": "application/json"})
            found = connection.getresponse()
            return found.status, found.read()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """A value that it counts, by its name in /metrics."""
        found = re.search(rf"^{name} (\S+)$", self.ask("/metrics")[1].decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def cpu_s(self) -> float:
        """The processor time that it and all its processes took until now, user and system, in seconds."""
        return sum(_cpu_s(pid) for pid in _family(self.process.pid))

    def memory_mb(self) -> float:
        """Its resident memory."""
        pages = Path(f"/proc/{self.process.pid}/statm")
        if pages.exists():
            return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        shown = subprocess.run(["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, text=True)
        return int(shown.stdout or 0) * 1024 / 1e6

    def own_memory_mb(self) -> float:
        """The memory of it and all its processes; of pages that several processes have, each counts its share."""
        return sum(_proportional_mb(pid) for pid in _family(self.process.pid))

    def stop_in_flight(self, questions: list[dict[str, str]], clients: int) -> dict[str, int]:
        """Stops it by SIGTERM while clients wait for answers.

        Args:
            questions: To ask of.
            clients: At once, eight questions each.

        Returns:
            `accepted` and `answered` questions of these clients, and how many were `in_flight` at the signal.
        """
        before = self.metric("dim_questions_total")
        asked = [(questions * PER_REQUEST)[place : place + PER_REQUEST] for place in range(clients)]
        bodies = [json.dumps({"questions": each}) for each in asked]
        with ThreadPoolExecutor(clients) as pool:
            waiting = [pool.submit(self.ask, "/link/batch", body) for body in bodies]
            end = time.monotonic() + ANSWER_S
            while self.metric("dim_questions_total") < before + clients * PER_REQUEST and time.monotonic() < end:
                time.sleep(0.01)
            in_flight = self.metric("dim_waiting")
            self.process.send_signal(signal.SIGTERM)
            answers = [answer.result() for answer in waiting]
        said, _ = self.process.communicate(timeout=STOP_S)
        total = re.search(r"([\d,]+) questions? accepted, and all answered", said)
        if self.process.returncode or not total:
            raise DimError("a server that ends by itself", f"exit {self.process.returncode}: {said}", "Look at it.")
        answered = sum(len(json.loads(body)["results"]) for status, body in answers if status == 200)
        accepted = int(total[1].replace(",", "")) - int(before)
        return {"accepted": accepted, "answered": answered, "in_flight": int(in_flight)}


@contextmanager
def served(folder: Path, device: str, batch_sizes: Sequence[int]) -> Iterator[list[Served]]:
    """Servers of a linker's folder, one of each `--batch_size`, which end with the block.

    Raises:
        DimError: One did not come.
    """
    with ExitStack() as stack:
        started = [stack.enter_context(_started(folder, device, "--batch_size", str(size))) for size in batch_sizes]
        servers = [Served(process, _port(process, log)) for process, log in started]
        for server in servers:
            _wait_until_ready(server)
        yield servers


@contextmanager
def timed_server(folder: Path, device: str, *more: str, checkout: Path | None = None) -> Iterator[tuple[Served, float]]:
    """A server with further words of its line, and the seconds from its start until it was ready.

    It runs the dim of a checkout, if one is named.

    Raises:
        DimError: It did not come.
    """
    began = time.perf_counter()
    with _started(folder, device, *more, checkout=checkout) as (process, log):
        server = Served(process, _port(process, log))
        _wait_until_ready(server)
        yield server, time.perf_counter() - began


@contextmanager
def _started(
    folder: Path, device: str, *more: str, checkout: Path | None = None
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    words = ["--model", str(folder), "--port", "0", "--device", device, *more]
    surroundings = {name: value for name, value in os.environ.items() if name != "DIM_TOKEN"}
    with TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dim", "serve", *words],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=surroundings,
            cwd=checkout,  # whose dim `-m` finds there
        )
        try:
            yield process, log
        finally:
            process.kill()
            process.communicate()


@contextmanager
def highest_memory(server: Served) -> Iterator[list[float]]:
    """A list whose last value becomes the highest resident memory (MB) within the block."""
    found, done = [server.memory_mb()], threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_S):
            found.append(max(found[-1], server.memory_mb()))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _family(pid: int) -> list[int]:
    """A process with all that it started, as far as they live."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [pid, *(each for child in children.read_text().split() for each in _family(int(child)))]
    except OSError:
        return [pid]


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _proportional_mb(pid: int) -> float:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:  # it has ended
        return 0.0
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _port(process: subprocess.Popen[str], log: IO[str]) -> int:
    killer = threading.Timer(START_S, process.kill)
    killer.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"API: +http://127\.0\.0\.1:(\d+)/docs", line):
                return int(found[1])
    finally:
        killer.cancel()
    log.seek(0)
    raise DimError(f"a server within {START_S} s", log.read()[-2000:] or "none", "Try dim serve by hand.")


def _wait_until_ready(server: Served) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            if server.ask("/ready")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise DimError(f"a server that is ready within {START_S} s", "one that is not", "Try dim serve by hand.")
