"""Uvicorn, with an end that loses nothing."""

from __future__ import annotations

import math
import resource
import signal
import socket
from types import FrameType
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from dim.errors import ConfigError
from dim.serve.connections import Connections, telling
from dim.serve.settings import Settings

BACKLOG = 2048
SPARE_FILES = 200  #: Descriptors for all but connections.
LONGEST_HEAD = 16_384  #: Bytes of a request's line and headers; more is 400.


class Server(uvicorn.Server):
    """Serves an app of `create_app` until SIGTERM or SIGINT; then answers what was accepted, and returns.

    Args:
        app: What `create_app` gave.
        settings: `max_connections`, `body_timeout_s` and `token` count here.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self.batcher = app.state.served.batcher
        self.interrupted = False
        self.connections = Connections(settings)
        super().__init__(
            uvicorn.Config(
                telling(app),
                http=cast(Any, self.connections.protocol),
                h11_max_incomplete_event_size=LONGEST_HEAD,
                proxy_headers=False,  # nothing here asks who the client is
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
        self.connections.drop_deaf()
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


def run(app: FastAPI, settings: Settings, listener: socket.socket) -> Server:
    """Serves until the end is asked for; returns when all that was accepted is answered, or it was asked for twice."""
    server = Server(app, settings)
    listener.listen(BACKLOG)
    server.run(sockets=[listener])
    return server
