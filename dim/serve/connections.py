"""Connections that may not stay for ever: each has a time for its head, and all together have a number.

Uvicorn knows neither (its `limit_concurrency` refuses everybody while a thousand connections say nothing). Here stands
a protocol of asyncio in front of Uvicorn's, which it is handed as its option `http`. It looks at nothing of Uvicorn's:
that a request begins and ends it hears from the application, through the `state` of ASGI.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from dim.serve.problems import error_json
from dim.serve.settings import Settings

STATE = "dim.connection"


class Connections:
    """All open connections of a server.

    Beyond `max_connections`, the oldest goes of those that may: that ask nothing or, where a token is asked for, have
    not shown it, whatever they do. So who has no token takes no place from those who have one.

    Args:
        settings: `max_connections`, `body_timeout_s` and `token` count here.
    """

    def __init__(self, settings: Settings) -> None:
        self.most, self.patience_s = settings.max_connections, settings.body_timeout_s
        self.needs_token = settings.token is not None
        self.open: set[Connection] = set()
        self.may_go: OrderedDict[Connection, None] = OrderedDict()

    def protocol(self, **given: Any) -> Connection:
        """One more, for Uvicorn, which gives what its own protocols get."""
        return Connection(self, given)

    def drop_deaf(self) -> None:
        """Ends those whose clients have taken nothing for too long of what was sent to them."""
        now = time.monotonic()
        for connection in list(self.open):
            connection.drop_if_deaf(now)

    def add(self, connection: Connection) -> None:
        """Has it among the others; where they become too many, one goes."""
        self.open.add(connection)
        if len(self.open) <= self.most:
            return
        oldest = next(iter(self.may_go))
        if oldest is connection:
            oldest.refuse(503, f"at most {self.most:,} connections that ask", "one more", "Connect again.")
        else:
            oldest.refuse(408, "a request", "none, and others wait", "Connect again.")


class Connection(asyncio.Protocol):
    """A connection that is closed, with a word, when it takes too long to ask, or another needs its place."""

    def __init__(self, all_of_them: Connections, given: dict[str, Any]) -> None:
        self.all_of_them = all_of_them
        self.inner = H11Protocol(**{**given, "app_state": {**given["app_state"], STATE: self}})
        self.has_token = False
        self._num_asked = 0  # requests that are being answered
        self._timer: asyncio.TimerHandle | None = None
        self._unsent, self._unsent_since = 0, time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as of TCP
        """Begins to wait for a head."""
        self.transport = transport
        self.inner.connection_made(transport)
        self._await_head()
        self.all_of_them.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        self._stop_waiting()
        self.all_of_them.open.discard(self)
        self.all_of_them.may_go.pop(self, None)
        self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hands it on."""
        self.inner.data_received(data)

    def eof_received(self) -> None:
        """Hands it on."""
        self.inner.eof_received()

    def pause_writing(self) -> None:
        """Hands it on."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Hands it on."""
        self.inner.resume_writing()

    def begin(self) -> None:
        """A head came: there is a request."""
        self._num_asked += 1
        self._stop_waiting()
        if self.has_token or not self.all_of_them.needs_token:
            self.all_of_them.may_go.pop(self, None)

    def show_token(self) -> None:
        """Its client has the token."""
        self.has_token = True
        self.all_of_them.may_go.pop(self, None)

    def end(self) -> None:
        """A request is answered: it waits for the next head."""
        self._num_asked -= 1
        if not self._num_asked and not self.transport.is_closing():
            self._await_head()

    def drop_if_deaf(self, now: float) -> None:
        """Ends it when its client has taken nothing for too long of what was sent to it."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._unsent_since = now
        elif now - self._unsent_since > self.all_of_them.patience_s:
            self.transport.abort()
        self._unsent = unsent

    def refuse(self, status: int, expected: str, found: str, remedy: str) -> None:
        """Sends an answer to what was not asked, and closes; an answer that is under way just ends."""
        self._stop_waiting()
        self.all_of_them.may_go.pop(self, None)
        if self._num_asked:
            self.transport.abort()
        if self.transport.is_closing():
            return
        body = error_json(expected, found, remedy)
        retry = [b"Retry-After: 1"] if status == 503 else []
        head = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(),
            b"Content-Type: application/json",
            f"Content-Length: {len(body)}".encode(),
            b"Connection: close",
            *retry,
        ]
        self.transport.write(b"\r\n".join([*head, b"", body]))
        self.transport.close()

    def _await_head(self) -> None:
        self._stop_waiting()
        patience = self.all_of_them.patience_s
        self._timer = asyncio.get_running_loop().call_later(patience, self._too_slow)
        self.all_of_them.may_go.pop(self, None)
        self.all_of_them.may_go[self] = None  # the last to go

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        seconds = f"{self.all_of_them.patience_s:g} s"
        self.refuse(408, f"the head of a request within {seconds}", "none", "Connect when there is something to ask.")


def connection_of(scope: Scope) -> Connection | None:
    """The connection that a request came by, where `Connections` has it."""
    found: Connection | None = scope.get("state", {}).get(STATE)
    return found


def telling(app: ASGIApp) -> ASGIApp:
    """The app; the connections of its requests hear when these begin and end."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope) if scope["type"] == "http" else None
        if connection is None:
            await app(scope, receive, send)
            return
        connection.begin()
        try:
            await app(scope, receive, send)
        finally:
            connection.end()

    return told
