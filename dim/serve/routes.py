"""The routes of the API."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from dim.linker import Question
from dim.serve.entities import Changes, PathId, add_entity_routes
from dim.serve.form import asked_with_image, text_with_image
from dim.serve.nif import add_nif
from dim.serve.pictured import annotated, answer_many
from dim.serve.problems import Problem
from dim.serve.reader import check_type, reading_route
from dim.serve.schema import (
    About,
    AnnotatedText,
    AskedMany,
    AskedOne,
    AskedPicturedText,
    AskedText,
    AskedWithImage,
    Failed,
    Linked,
    LinkedMany,
    State,
)
from dim.serve.served import Served

T = TypeVar("T")
SAYS = {
    400: "The body cannot be read.",
    401: "The token is wrong, or there is none.",
    403: "Another site's page asks, or it asks by another name than the server's.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "The KB has one of these ids already.",
    413: "The body or the image is too large.",
    415: "The body is of another type.",
    422: "The question cannot be answered as it is.",
    500: "An error of the server; its id stands in the log.",
    501: "The server lacks a package for it.",
    503: "The server is busy or stopping; `Retry-After` says when to ask again.",
}
ANY = (400, 401, 403, 408, 413, 500, 503)
ASKING = (*ANY, 415, 422)

Place = Annotated[int, Path(ge=0, lt=2**31)]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented error answers of a route."""
    return {status: {"model": Failed, "description": SAYS[status]} for status in sorted(statuses)}


def api(served: Served, changes: Changes | None = None) -> APIRouter:
    """All routes but the pages; where there are no `changes`, those that change the KB refuse."""
    router = APIRouter(route_class=reading_route(served.reader, served.settings))

    async def form(request: Request, read: Callable[[bytes, str], T]) -> T:
        """What a function makes of a form's body and type."""
        check_type(request, "multipart/form-data")
        content_type = request.headers["content-type"]
        return await served.reader.read(request, lambda body: read(body, content_type), at_once=-1)

    @router.post("/link", responses=errors(*ASKING), response_model=Linked)
    async def link(request: Request, asked: AskedOne) -> Response:
        """Links one mention."""
        served.check_top_k(asked.top_k)
        question = Question(asked.mention, asked.context, None, asked.candidates)
        (outcome,) = await served.answer(request, [question], asked.top_k)
        return Linked(answers=served.answers_of(outcome)).response()

    @router.post(
        "/link/image", responses=errors(*ASKING), response_model=Linked, openapi_extra={"requestBody": _form_schema()}
    )
    async def link_image(request: Request) -> Response:
        """Links a mention with an uploaded image, or an image alone."""
        asked, image = await form(request, asked_with_image)
        served.check_top_k(asked.top_k)
        outcome = await served.answer_with_image(request, asked, image)
        return Linked(answers=served.answers_of(outcome)).response()

    @router.post("/link/batch", responses=errors(*ASKING), response_model=LinkedMany)
    async def link_batch(request: Request, asked: AskedMany) -> Response:
        """Links many mentions, which may share images; an error stands in the place of answers."""
        served.check_top_k(asked.top_k)
        outcomes = await answer_many(served, request, asked)
        return LinkedMany(results=[served.result_of(outcome) for outcome in outcomes]).response()

    @router.post("/annotate", responses=errors(*ASKING), response_model=AnnotatedText)
    async def annotate(request: Request, asked: AskedPicturedText) -> Response:
        """Links the mentions of a text: those that are marked, or those that the server finds."""
        served.check_top_k(asked.top_k)
        return (await annotated(served, request, asked, asked.image)).response()

    @router.post(
        "/annotate/image",
        responses=errors(*ASKING),
        response_model=AnnotatedText,
        openapi_extra={"requestBody": _text_form_schema()},
    )
    async def annotate_image(request: Request) -> Response:
        """Links the mentions of a text with an uploaded image, which belongs to all of them."""
        asked, image = await form(request, partial(text_with_image, settings=served.settings))
        served.check_top_k(asked.top_k)
        return (await annotated(served, request, asked, image)).response()

    add_nif(router, served, errors(*ASKING, 501))

    @router.get("/about", responses=errors(*ANY), response_model=About)
    async def about() -> Response:
        """Says what this server links to, what its evidence means, and its limits."""
        return served.edition.about.response()

    @router.get(
        "/entities/{entity_id:path}/images/{n}",
        responses={200: {"content": {"image/jpeg": {}}, "description": "A JPEG."}, **errors(*ANY, 404, 422)},
        response_class=Response,
    )
    async def entity_image(entity_id: PathId, n: Place) -> Response:
        """Shows an image of an entity, at most 512 pixels a side."""
        edition = served.edition
        knowledge = edition.linker.knowledge
        if entity_id not in knowledge:
            raise Problem(404, "the id of an entity", f"'{entity_id}'", "Take an id from an answer.")
        row = knowledge.row(entity_id)
        images = knowledge.entities[row].images
        if n >= len(images):
            raise Problem(404, f"the number of one of {len(images)} images", str(n), "Take the path from an answer.")
        picture = await served.images.shown(*edition.picture(row, images[n]))
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    # Behind the images, whose paths could also be those of entities: who uses a wrong method hears of the first.
    add_entity_routes(router, served, changes, errors(*ASKING, 409), errors(*ASKING, 404))

    @router.head("/health", include_in_schema=False)
    @router.get("/health", responses=errors(*_without_token()), response_model=State)
    async def health() -> Response:
        """Says that the process lives."""
        return State(status="alive").response()

    @router.head("/ready", include_in_schema=False)
    @router.get("/ready", responses=errors(*_without_token()), response_model=State)
    async def ready() -> Response:
        """Says whether questions are accepted."""
        if served.batcher.is_stopping:
            raise Problem(503, "a server that runs", "it is stopping", "Ask another one.", {"Retry-After": "1"})
        return State(status="ready").response()

    @router.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}, **errors(*ANY)},
        response_class=Response,
    )
    async def metrics() -> Response:
        """Counts requests, batches and waiting questions, for Prometheus."""
        return Response(served.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _without_token() -> list[int]:
    return [status for status in ANY if status != 401]


def _form_schema() -> dict[str, Any]:
    schema = AskedWithImage.model_json_schema()
    schema["properties"]["candidates"] = {
        "type": "array",
        "items": {"type": "string", "maxLength": 1000},
        "description": "Ids of the entities that compete, a field each; none: the whole KB.",
    }
    return _with_file(schema)


def _text_form_schema() -> dict[str, Any]:
    schema = AskedText.model_json_schema()
    del schema["$defs"]
    schema["properties"]["spans"] = {"type": "string", "description": "JSON, as of /annotate; none: they are found."}
    return _with_file(schema)


def _with_file(schema: dict[str, Any]) -> dict[str, Any]:
    schema["properties"]["image"] = {"type": "string", "format": "binary", "description": "The file."}
    required = [*schema.get("required", []), "image"]
    return {"required": True, "content": {"multipart/form-data": {"schema": schema | {"required": required}}}}
