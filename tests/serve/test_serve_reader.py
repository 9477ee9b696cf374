"""A long body is no work of the event loop."""

import asyncio
import threading
from typing import Any

from starlette.types import Message

from dim.serve.reader import SHORT, InChunks, Reader


def test_a_long_body_is_joined_and_read_in_the_readers_thread_and_kept_nowhere() -> None:
    chunks = [b"a" * SHORT, b"b", b""]

    async def receive() -> Message:
        if chunks:
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    async def ask() -> tuple[Any, list[bytes]]:
        request = InChunks({"type": "http"}, receive)
        assert await request.body() == b"a" * SHORT  # its beginning alone: nothing is copied
        found = await reader.read(request, lambda body: (body, threading.current_thread().name))
        return found, await request.chunks()

    reader = Reader()
    (body, thread), left = asyncio.run(ask())
    reader.stop()
    assert body == b"a" * SHORT + b"b"
    assert thread.startswith("reader")
    assert left == []
