"""Bodies become questions: short ones at once, long ones in a thread, so that the server answers others meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar, cast

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from dim.serve.problems import Problem, invalid
from dim.serve.settings import Settings
from dim.serve.strict_json import strict_json

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

SHORT = 8192  #: Bytes that are read on the event loop: a thread would take longer to come than they do.


class ClientLeftError(Exception):
    """There is nobody to answer."""


class InChunks(Request):
    """A request whose body is joined by who reads it: to copy megabytes takes the event loop from all others."""

    async def chunks(self) -> list[bytes]:
        """The body, as it came."""
        if not hasattr(self, "_chunks"):
            self._chunks = [chunk async for chunk in self.stream() if chunk]
        return self._chunks

    async def body(self) -> bytes:
        """Its beginning, which tells FastAPI whether there is one."""
        return (await self.chunks() or [b""])[0]


class Reader:
    """Reads long bodies one after the other: as many threads as bodies would keep the event loop from its turn."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "reader")

    def stop(self) -> None:
        """Ends the thread."""
        self._thread.shutdown()

    async def read(self, request: Request, read: Callable[[bytes], T], at_once: int = SHORT) -> T:
        """What a function makes of the body.

        Args:
            request: Has the body; one of `reading_route`.
            read: Gets it.
            at_once: Bytes up to which it is called on the event loop.

        Raises:
            ClientLeftError: The client left before its turn came.
        """
        chunks = await cast(InChunks, request).chunks()

        def read_whole() -> T:
            whole = b"".join(chunks)
            chunks.clear()
            return read(whole)

        if sum(map(len, chunks)) <= at_once:
            return read_whole()

        async def in_turn() -> T:
            return await asyncio.get_running_loop().run_in_executor(self._thread, read_whole)

        return await while_there(request, in_turn())


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of work, which is cancelled when the client leaves.

    Raises:
        ClientLeftError: It did.
    """
    task, left = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeftError
        return task.result()
    finally:
        for each in (task, left):
            each.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await each


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def reading_route(reader: Reader, settings: Settings) -> type[APIRoute]:
    """A kind of route that takes JSON by strict rules, or a form, and says so to everything else."""

    class ReadingRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()
            model: Any = self.body_field.field_info.annotation if self.body_field is not None else None

            def asked(body: bytes) -> Any:
                return parsed(model, strict_json(body, settings.max_values), settings.max_batch)

            class StrictRequest(InChunks):
                async def json(self) -> Any:
                    """What is asked: FastAPI finds it valid."""
                    return await reader.read(self, asked)

            async def strict(request: Request) -> Response:
                if model is not None:
                    check_type(request, "application/json")
                return await handler(StrictRequest(request.scope, request.receive))

            return strict

    return ReadingRoute


def parsed(model: type[M], value: Any, max_batch: int = 1) -> M:
    """A value as what a model says.

    Raises:
        Problem: 422, it is not.
    """
    try:
        return model.model_validate(value, context={"max_batch": max_batch})
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False)) from error


def check_type(request: Request, wanted: str) -> None:
    """Raises Problem (415) where a body is of another type."""
    found = request.headers.get("content-type", "")
    if found.partition(";")[0].strip().lower() != wanted:
        raise Problem(415, f"Content-Type: {wanted}", found or "none", f"Send the body as {wanted}.")
