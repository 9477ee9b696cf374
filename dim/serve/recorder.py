"""The outermost layer: counts each request, notes it, names each surprise, and sets the headers of all answers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dim.display.log import log
from dim.serve.access_log import AccessLog, Seen
from dim.serve.admission import ASKING
from dim.serve.metrics import Metrics
from dim.serve.problems import Problem
from dim.serve.tracing import Tracing

LOG = log("dim.serve")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
CLOSE = (b"connection", b"close")


class Recorder:
    """Answers what nobody foresaw with 500 and an id that stands in the log, without a traceback for the client."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        log: AccessLog,
        tracing: Tracing | None,
        is_stopping: Callable[[], bool],
    ) -> None:
        self.app, self.metrics, self.log, self.tracing, self.is_stopping = app, metrics, log, tracing, is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, num_bytes = time.perf_counter(), 0, 0
        error_id: str | None = None
        asked = str(scope["path"])  # of which a layer below may take a part

        async def sent(message: Message) -> None:
            nonlocal status, num_bytes
            num_bytes += len(message.get("body", b""))
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", []), *HEADERS]
                if self.is_stopping() and CLOSE not in headers:
                    headers.append(CLOSE)
                message = {**message, "headers": headers}
                if self.tracing is not None:
                    self.tracing.name(scope["method"], _route(scope))
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception:
            if status:
                raise
            error_id = secrets.token_hex(4)
            LOG.exception("error %s at %s %s", error_id, scope["method"], scope["path"])
            remedy = f"Tell whoever runs this: error {error_id} in the log."
            await Problem(500, "an answer", "an error of the server", remedy).response()(scope, receive, sent)
        finally:
            route, seconds = _route(scope), time.perf_counter() - started
            self.metrics.requests.labels(route, str(status or "none")).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            client = scope["client"][0] if scope.get("client") else None
            method = str(scope["method"])
            self.log.write(Seen(method, asked, route, status or None, 1000 * seconds, num_bytes, client, error_id))


def _route(scope: Scope) -> str:
    """What the server calls a request that came so far; its own paths could be as many as there are entities."""
    path = scope["path"] if scope["path"] in ASKING else "other"
    return str(getattr(scope.get("route"), "path_format", path))
