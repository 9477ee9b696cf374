"""The way in under load: who cannot be accepted hears it before anything is made of the question."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from dim.serve.batcher import Batcher
from dim.serve.problems import Problem

#: Paths that take a body. What changes the KB waits for room like a question.
ASKING = frozenset(
    {"/link", "/link/image", "/link/batch", "/annotate", "/annotate/image", "/nif", "/entities", "/entities/remove"}
)


class Admission:
    """Hands on what may be accepted. The rest it answers for a tenth of the work that the app would have with it.

    Without it a server that is asked too much spends its time on refusals.
    """

    def __init__(self, app: ASGIApp, batcher: Batcher) -> None:
        self.app, self.batcher = app, batcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "http" and is_asking(scope):
            try:
                self.batcher.check_room(1)
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_asking(scope: Scope) -> bool:
    """Whether a request asks questions, in a body."""
    return scope["method"] == "POST" and scope["path"] in ASKING
