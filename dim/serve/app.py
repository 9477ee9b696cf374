"""The HTTP application around a linker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

import dim
from dim.serve.access_log import AccessLog
from dim.serve.admission import Admission
from dim.serve.api_document import exact_document
from dim.serve.api_page import api_page
from dim.serve.below import Below
from dim.serve.entities import Change, Changes
from dim.serve.gate import Gate
from dim.serve.limits import BodyLimits
from dim.serve.origin import Origin
from dim.serve.pages import Pages
from dim.serve.problems import Problem, answer_errors
from dim.serve.reader import ClientLeftError
from dim.serve.recorder import Recorder
from dim.serve.reload import Reload, hearing_sighup
from dim.serve.routes import api
from dim.serve.schema import State
from dim.serve.served import Edition, Served
from dim.serve.settings import Settings
from dim.serve.tracing import tracing_of

DESCRIPTION = "Links mentions, with their images, to the entities of a knowledge base."


def create_app(
    edition: Edition,
    settings: Settings,
    again: Callable[[], Edition] | None = None,
    everywhere: Callable[[], Awaitable[None]] | None = None,
    changed: Callable[[Change], int] | None = None,
) -> FastAPI:
    """The application, whose `state.served` has its batcher and metrics, and `state.reload` what opens it again.

    Args:
        edition: What answers.
        settings: The limits, and the token.
        again: Opens the linker again, for `/reload` and SIGHUP; None: there is neither.
        everywhere: Has all processes that answer open it again, for `/reload`; who looks after them hears SIGHUP. None:
            this one is alone.
        changed: Changes the linker's folder, for `/entities`; as of `Changes`. It counts where the settings say
            `writable` and there is `again`.
    """
    served, tracing = Served(edition, settings), tracing_of()
    reload = Reload(served, again) if again is not None else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served.batcher.start()
        with hearing_sighup(reload if everywhere is None else None):
            yield
        await served.stop()
        if tracing is not None:
            await asyncio.to_thread(tracing.stop)

    app = FastAPI(
        title="dim",
        version=dim.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.served, app.state.reload = served, reload
    changes = None
    if reload is not None:
        of_all = everywhere or reload.reload
        _add_reload(app, of_all, settings)
        changes = Changes(served, changed, of_all) if changed is not None and settings.writable else None
    app.include_router(api(served, changes))
    _add_pages(app)
    answer_errors(app)
    app.add_exception_handler(ClientLeftError, _nobody)
    app.add_middleware(Admission, batcher=served.batcher)  # the last of these is the first to see a request
    app.add_middleware(BodyLimits, settings=settings)
    app.add_middleware(Gate, token=settings.token)
    app.add_middleware(Origin, allowed_hosts=settings.allowed_hosts)
    app.add_middleware(Below, root_path=settings.root_path)
    log = AccessLog(settings.access_log, tracing)
    app.add_middleware(
        Recorder, metrics=served.metrics, log=log, tracing=tracing, is_stopping=lambda: served.batcher.is_stopping
    )
    if tracing is not None:
        tracing.add_to(app)
    document = exact_document(app, settings)
    app.openapi = lambda: document  # type: ignore[method-assign]  # as FastAPI documents it
    return app


def _add_pages(app: FastAPI) -> None:
    page, docs = Pages("page"), Pages("docs")

    async def home() -> Response:
        return page.response("index.html")

    async def text() -> Response:
        return page.response("text.html")

    async def of_page(name: str) -> Response:
        return page.response(name)

    async def of_docs(name: str) -> Response:
        return docs.response(name)

    async def api_docs() -> Response:
        return Response(api_page(app.openapi()), media_type="text/html")

    for path, endpoint in (
        ("/", home),
        ("/text", text),
        ("/page/{name}", of_page),
        ("/docs/{name}", of_docs),
        ("/docs", api_docs),
    ):
        app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(endpoint)


def _add_reload(app: FastAPI, reload: Callable[[], Awaitable[None]], settings: Settings) -> None:
    async def reloaded() -> Response:
        if settings.token is None:
            raise Problem(403, "a server with a token", "none", "Send it SIGHUP, or start it with a --token.")
        await reload()
        return State(status="reloaded").response()

    app.post("/reload", include_in_schema=False)(reloaded)


async def _nobody(request: Request, error: Any) -> Response:
    return Response(status_code=499)  # for the log alone: the client left
