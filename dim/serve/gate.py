"""Who may ask: those who send the token."""

from __future__ import annotations

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from dim.serve.connections import connection_of
from dim.serve.problems import Problem
from dim.serve.refusal import refuse

#: They say nothing of the KB; the page asks its user for the token.
OPEN = frozenset({"/", "/text", "/docs", "/openapi.json", "/health", "/ready"})
OPEN_FOLDERS = ("/page/", "/docs/")


class Gate:
    """Hands on requests that bear the token, if one is asked for, and those for what is open; the others hear 401."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http" or self.token is None or is_open(scope["path"]):
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, value = given.partition(b" ")
        # compare_digest takes as long for a wrong token, wherever it differs
        if kind.lower() == b"bearer" and hmac.compare_digest(value.strip(), self.token.encode()):
            if (connection := connection_of(scope)) is not None:
                connection.show_token()
            await self.app(scope, receive, send)
            return
        found = "another token" if kind.lower() == b"bearer" else "another scheme" if given else "no such header"
        remedy, headers = "Ask whoever runs this server for the token.", {"WWW-Authenticate": "Bearer"}
        await refuse(Problem(401, "Authorization: Bearer TOKEN", found, remedy, headers), scope, receive, send)


def is_open(path: str) -> bool:
    """Whether a path is answered without a token."""
    return path in OPEN or path.startswith(OPEN_FOLDERS)
