"""The body of a request is read before anything else happens to it: within its size, and within its time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dim.serve.admission import ASKING, is_asking
from dim.serve.problems import Problem, busy
from dim.serve.refusal import refuse
from dim.serve.settings import Settings


@dataclass
class _Body:
    """What came of a body so far."""

    chunks: list[bytes] = field(default_factory=list)
    num_bytes: int = 0


class BodyLimits:
    """Hands on questions whose body is there as a whole; the others it answers: 400, 408, 413, 503.

    What is no question has no body: to read a page with one is 413, and elsewhere it is dropped as it comes.

    Args:
        app: Gets the rest.
        settings: `max_body_bytes`, `max_buffered_bytes` and `body_timeout_s` count here.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self._held = 0  # bytes of all bodies, until their questions are answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif is_asking(scope):
            await self._with_body(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD") and scope["path"] not in ASKING and _has_body(scope):
            await refuse(
                Problem(413, "a request without a body", "one with a body", "Send none."), scope, receive, send
            )
        else:
            await self.app(scope, _replay([], receive), send)

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body()
        try:
            try:
                self._check_length(scope)
                async with asyncio.timeout(self.settings.body_timeout_s):
                    if not await self._read(receive, body):
                        return  # the client left
            except TimeoutError:
                await refuse(self._too_slow(body.num_bytes), scope, receive, send, lingers=False)
                return
            except Problem as problem:
                self._free(body)
                await refuse(problem, scope, receive, send)
                return
            await self.app(scope, _replay(body.chunks, receive), send)  # joined by who needs it, and not here
        finally:
            self._free(body)

    def _free(self, body: _Body) -> None:
        body.chunks.clear()
        self._held -= body.num_bytes
        body.num_bytes = 0

    def _check_length(self, scope: Scope) -> None:
        length = dict(scope["headers"]).get(b"content-length")
        if length is None:
            return
        if not length.isdigit():
            found = length.decode("latin-1")
            raise Problem(400, "a Content-Length of digits", found, "Send the number of bytes of the body.")
        if int(length) > self.settings.max_body_bytes:
            raise self._too_large(f"{int(length):,}")

    async def _read(self, receive: Receive, body: _Body) -> bool:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            chunk = message.get("body", b"")
            body.chunks.append(chunk)
            body.num_bytes += len(chunk)
            self._held += len(chunk)
            if body.num_bytes > self.settings.max_body_bytes:
                raise self._too_large("more")
            if self._held > self.settings.max_buffered_bytes:
                raise busy(f"at most {self.settings.max_buffered_bytes:,} bytes of bodies at once", "more")
            if not message.get("more_body", False):
                return True

    def _too_large(self, found: str) -> Problem:
        return Problem(
            413,
            f"a body of at most {self.settings.max_body_bytes:,} bytes",
            found,
            "Send a smaller image, or less at once.",
        )

    def _too_slow(self, num_bytes: int) -> Problem:
        seconds = self.settings.body_timeout_s
        return Problem(408, f"the whole body within {seconds:g} s", f"{num_bytes:,} bytes", "Send it faster, or less.")


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def _replay(chunks: list[bytes], receive: Receive) -> Receive:
    """Has a body come once more: its chunks, taken out of their list, and its end."""
    has_ended = False

    async def replayed() -> Message:
        nonlocal has_ended
        if has_ended:
            return await receive()
        has_ended = not chunks
        return {"type": "http.request", "body": b"" if has_ended else chunks.pop(0), "more_body": not has_ended}

    return replayed
