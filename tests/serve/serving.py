"""Real servers on loopback, in a thread or a process, for tests."""

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from waiting import HANG, wait_until

from dim.linker import Linker
from dim.serve.app import create_app
from dim.serve.batcher import Batcher
from dim.serve.served import Edition, Served
from dim.serve.server import Server, bound_socket
from dim.serve.settings import Settings
from dim.serve.source import Source

QUESTION = {"mention": "Velton", "context": "Velton smiled."}


@dataclass
class Running:
    """A server in a thread of this process."""

    port: int
    server: Server
    client: httpx.Client
    served: Served

    @property
    def batcher(self) -> Batcher:
        return self.server.batcher

    def count(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where nothing was counted yet."""
        return self.batcher.metrics.registry.get_sample_value(name, labels) or 0

    def still_answers(self) -> bool:
        return self.client.post("/link", json=QUESTION).status_code == 200


@contextlib.contextmanager
def running(linker: Linker, again: Callable[[], Edition] | None = None, **settings: Any) -> Iterator[Running]:
    limits = Settings(**settings)
    with _running(create_app(Edition(linker, limits), limits, again), limits) as server:
        yield server


@contextlib.contextmanager
def running_from(folder: Path, **settings: Any) -> Iterator[Running]:
    """A server of a linker's folder, as `dim serve` makes it."""
    source, limits = Source(str(folder), "cpu"), Settings(**settings)
    app = create_app(source.opened(limits), limits, lambda: source.opened(limits), changed=source.changed)
    with _running(app, limits) as server:
        yield server


@contextlib.contextmanager
def _running(app: FastAPI, limits: Settings) -> Iterator[Running]:
    listener = bound_socket("127.0.0.1", 0)
    server = Server(app, limits)
    listener.listen(2048)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = listener.getsockname()[1]
        with client_of(port) as client:
            yield Running(port, server, client, app.state.served)
    finally:
        server.batcher.refuse()
        thread.join(timeout=HANG)
        assert not thread.is_alive()


def client_of(port: int) -> httpx.Client:
    """A client that opens a connection for each request, and makes no TLS context."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        verify=False,
        timeout=HANG,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
    )


@contextlib.contextmanager
def process(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`serve` of a linker's folder in a process of its own, and a client of it."""
    code = f"from dim.cli.serve import serve; serve({str(folder)!r}, port=0, device='cpu', {', '.join(options)})"
    served = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert served.stdout is not None
        port = 0
        while not port:
            line = served.stdout.readline()
            assert line, served.stderr and served.stderr.read()
            found = re.search(r"API: +http://127\.0\.0\.1:(\d+)/docs", line)
            port = int(found[1]) if found else 0
        with client_of(port) as client:
            wait_until(lambda: _ready(client))
            yield served, client
    finally:
        served.kill()
        served.communicate()


class Held:
    """Keeps a linker from answering until it is let go, and notes what it was asked, batch by batch."""

    def __init__(self, linker: Linker) -> None:
        self.linker, self.go, self.batches = linker, threading.Event(), list[list[str]]()
        self._answer = linker.link_batch

    def __enter__(self) -> "Held":
        def link_batch(questions: Any, top_k: int = 5) -> Any:
            self.batches.append([question.mention for question in questions])
            assert self.go.wait(HANG)
            return self._answer(questions, top_k)

        self.linker.link_batch = link_batch  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        del self.linker.link_batch  # type: ignore[method-assign]


def _ready(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/ready").status_code == 200
    return False
