"""The HTTP application around a linker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

import dim
from dim.linker import Linker
from dim.serve.admission import Admission
from dim.serve.api_document import exact_document
from dim.serve.api_page import api_page
from dim.serve.gate import Gate
from dim.serve.limits import BodyLimits
from dim.serve.pages import Pages
from dim.serve.problems import answer_errors
from dim.serve.recorder import Recorder
from dim.serve.routes import api
from dim.serve.served import ClientLeftError, Served
from dim.serve.settings import Settings

DESCRIPTION = "Links mentions, with their images, to the entities of a knowledge base."


def create_app(linker: Linker, settings: Settings) -> FastAPI:
    """The application, whose `state.served` has its batcher and metrics.

    Args:
        linker: The app owns it: nothing else may use it meanwhile.
        settings: The limits, and the token.
    """
    served = Served(linker, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served.batcher.start()
        yield
        await served.stop()

    app = FastAPI(
        title="dim",
        version=dim.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.served = served
    app.include_router(api(served))
    _add_pages(app)
    answer_errors(app)
    app.add_exception_handler(ClientLeftError, _nobody)
    app.add_middleware(Admission, batcher=served.batcher)  # the last of these is the first to see a request
    app.add_middleware(BodyLimits, settings=settings)
    app.add_middleware(Gate, token=settings.token)
    app.add_middleware(Recorder, metrics=served.metrics, is_stopping=lambda: served.batcher.is_stopping)
    document = exact_document(app, settings)
    app.openapi = lambda: document  # type: ignore[method-assign]  # as FastAPI documents it
    return app


def _add_pages(app: FastAPI) -> None:
    page, docs = Pages("page"), Pages("docs")

    async def home() -> Response:
        return page.response("index.html")

    async def of_page(name: str) -> Response:
        return page.response(name)

    async def of_docs(name: str) -> Response:
        return docs.response(name)

    async def api_docs() -> Response:
        return Response(api_page(app.openapi()), media_type="text/html")

    for path, endpoint in (
        ("/", home),
        ("/page/{name}", of_page),
        ("/docs/{name}", of_docs),
        ("/docs", api_docs),
    ):
        app.get(path, include_in_schema=False)(endpoint)


async def _nobody(request: Request, error: Any) -> Response:
    return Response(status_code=499)  # for the log alone: the client left
