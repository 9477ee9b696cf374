"""An answer to a request whose body was not read to its end."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope, Send

from dim.serve.problems import Problem

LINGER_S = 1.0  #: How long a refused body is read on, so that its sender gets to read why.


async def refuse(problem: Problem, scope: Scope, receive: Receive, send: Send, lingers: bool = True) -> None:
    """Sends the answer and ends the connection: what is left of the body would be taken for the next request.

    Closed with a body unread, the system drops the connection, and the client may lose the answer. So the body is read
    on for a moment, unless its sender waits for leave to send it, or is too slow anyway (`lingers` is False).
    """
    problem.headers = {**(problem.headers or {}), "Connection": "close"}
    if not lingers or any(name == b"expect" for name, _ in scope["headers"]):
        await problem.response()(scope, receive, send)
        return

    async def unfinished(message: Message) -> None:
        await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

    await problem.response()(scope, receive, unfinished)
    await _drop(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drop(receive: Receive) -> None:
    try:
        async with asyncio.timeout(LINGER_S):
            while (message := await receive())["type"] != "http.disconnect" and message.get("more_body", False):
                pass
    except TimeoutError:
        return
