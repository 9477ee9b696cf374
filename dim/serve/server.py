"""Uvicorn, with what it lacks: a time for the head, a bound on connections, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import math
import resource
import signal
import socket
import time
from collections import OrderedDict
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from dim.errors import ConfigError
from dim.serve.problems import error_json, reason
from dim.serve.settings import Settings

BACKLOG = 2048
SPARE_FILES = 200  #: Descriptors for all but connections.


class Server(uvicorn.Server):
    """Serves an app of `create_app` until SIGTERM or SIGINT; then answers what was accepted, and returns.

    Args:
        app: What `create_app` gave.
        settings: `max_connections` and `body_timeout_s` count here.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self.batcher = app.state.served.batcher
        self.interrupted = False
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(settings),
                ws="none",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(settings.body_timeout_s) + 1,
                backlog=BACKLOG,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the end; asked a second time, ends at once. After SIGTERM the exit code stays 0."""
        self.interrupted = self.interrupted or sig == signal.SIGINT
        if self.batcher.is_stopping:
            self.should_exit = self.force_exit = True
        self.batcher.refuse()

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to end: asked to stop, it answers 503 until the last accepted question has its answer."""
        for connection in list(self.server_state.connections):
            assert isinstance(connection, Connection)
            connection.drop_if_deaf(time.monotonic())
        is_done = self.batcher.is_stopping and not self.batcher.accepted
        return await super().on_tick(counter) or is_done


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket at the address; port 0 chooses a free one. Nobody is answered before the server listens.

    Raises:
        ConfigError: The address cannot be had.
    """
    try:
        if not 0 <= port < 2**16:
            raise OverflowError("ports are 0 to 65535")
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Named TCP, or asyncio leaves Nagle's delay on: 40 ms an answer.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        return found
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"an address of this machine and a free port, at {host}:{port}",
            str(error),
            "Choose another --port (0 takes any free one), or another --host.",
        ) from error


def allow_connections(wanted: int) -> int:
    """How many connections may be open, with the system's limit raised as far as they need and it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(min(wanted, soft - SPARE_FILES), 1)


def _protocol(settings: Settings) -> type[asyncio.Protocol]:
    limits = {
        "max_connections": settings.max_connections,
        "head_timeout_s": settings.body_timeout_s,
        "idle": OrderedDict(),  # of this server
    }
    return type("LimitedConnection", (Connection,), limits)


class Connection(H11Protocol):
    """A connection that is closed, with a word, when it takes too long to ask, or another needs its place."""

    max_connections: int
    head_timeout_s: float
    idle: OrderedDict[Connection, None]  #: Those that ask nothing, the oldest first.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as Uvicorn has it
        """Begins to wait for a head."""
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._unsent, self._unsent_since = 0, time.monotonic()
        self._await_head()
        if len(self.connections) > self.max_connections:
            oldest = next(iter(self.idle))
            what = "a request" if oldest is not self else f"at most {self.max_connections:,} connections that ask"
            found = "none, and others wait" if oldest is not self else "one more"
            oldest.refuse(408 if oldest is not self else 503, what, found, "Connect again.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what came; a head that is not whole yet has no more time for it."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_came()
        elif self._head_timer is None:
            self._await_head()

    def on_response_complete(self) -> None:
        """Waits for the next head."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        self.refuse(400, "a request of HTTP/1.1", msg, "Send what /docs shows.")

    def drop_if_deaf(self, now: float) -> None:
        """Ends the connection when its client has taken nothing for too long of what was sent to it."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._unsent_since = now
        elif now - self._unsent_since > self.head_timeout_s:
            self.transport.abort()
        self._unsent = unsent

    def refuse(self, status: int, expected: str, found: str, remedy: str) -> None:
        """Sends an answer to what was not asked, or not properly, and closes."""
        self._head_came()
        if self.transport.is_closing():
            return
        body = error_json(expected, found, remedy)
        retry = [b"Retry-After: 1"] if status == 503 else []
        head = [
            f"HTTP/1.1 {status} {reason(status)}".encode(),
            b"Content-Type: application/json",
            f"Content-Length: {len(body)}".encode(),
            b"Connection: close",
            *retry,
        ]
        self.transport.write(b"\r\n".join([*head, b"", body]))
        self.transport.close()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_too_slow)
            self.idle[self] = None

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self.idle.pop(self, None)

    def _head_too_slow(self) -> None:
        seconds = f"{self.head_timeout_s:g} s"
        self.refuse(408, f"the head of a request within {seconds}", "none", "Connect when there is something to ask.")


def run(app: FastAPI, settings: Settings, listener: socket.socket) -> bool:
    """Serves until the end is asked for; returns, when all that was accepted is answered, whether by Ctrl-C."""
    server: Any = Server(app, settings)
    listener.listen(BACKLOG)
    server.run(sockets=[listener])
    return bool(server.interrupted)
