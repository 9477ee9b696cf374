"""A line for each request on stdout, for people or for programs. It has no questions and no tokens."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from dim.display.visible import visible_line

if TYPE_CHECKING:
    from dim.serve.tracing import Tracing

Kind = Literal["json", "text", "none"]


@dataclass(frozen=True)
class Seen:
    """A request that was answered.

    Attributes:
        method: Of HTTP.
        path: As it was asked, without its query.
        route: Which of the server's routes that is, or `other`.
        status: Of the answer; None: its client left before there was one.
        ms: From its head to the end of its answer.
        num_bytes: Of the answer's body.
        client: The address that the connection comes from: behind a proxy, the proxy's.
        error_id: Of an error of the server, by which its own log has it.
        trace_id: By which traces have it, where they are sent.
    """

    method: str
    path: str
    route: str
    status: int | None
    ms: float
    num_bytes: int
    client: str | None
    error_id: str | None = None
    trace_id: str | None = None


class AccessLog:
    """Writes what was seen. A line that cannot be written is said on stderr, and no request fails of it.

    Args:
        kind: `json`: an object a line; `text`; or `none`: nothing is written.
        tracing: Where spans are made.
    """

    def __init__(self, kind: Kind, tracing: Tracing | None = None) -> None:
        self.kind, self.tracing = kind, tracing
        self._handler = logging.StreamHandler(sys.stdout)

    def write(self, seen: Seen) -> None:
        """A line of it."""
        if self.kind != "none":
            trace_id = self.tracing.trace_id() if self.tracing is not None else None
            line = line_of(replace(seen, trace_id=trace_id), self.kind, datetime.now(UTC))
            self._handler.handle(logging.makeLogRecord({"msg": line}))


def line_of(seen: Seen, kind: Kind, now: datetime) -> str:
    r"""What is written of a request.

    Example:
        >>> seen = Seen("GET", "/a 200\n", "other", 404, 0.514, 90, "127.0.0.1")
        >>> line_of(seen, "text", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        '2026-01-02T03:04:05.000Z 127.0.0.1 GET /a%20200\\n 404 90 bytes 0.5 ms'
    """
    time = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if kind == "json":
        values = asdict(seen) | {"ms": round(seen.ms, 3)}
        return json.dumps({"time": time} | {name: value for name, value in values.items() if value is not None})
    error = f" error {seen.error_id}" if seen.error_id else ""
    path = seen.path.replace(" ", "%20")  # or a path would write what stands behind it, too
    asked = f"{seen.client or '-'} {seen.method} {path} {seen.status or '-'}"
    return visible_line(f"{time} {asked} {seen.num_bytes:,} bytes {seen.ms:.1f} ms{error}")
