"""`/nif`: texts in NIF come, and go back with an entity for each mention, as GERBIL asks annotators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from dim.data.entity_uris import EntityUris
from dim.data.nif import Document, Named, check_places, named_as, read_nif, write_nif
from dim.errors import MissingExtraError
from dim.linker.annotate import marked_questions
from dim.linker.each import Outcome
from dim.serve.problems import Problem
from dim.serve.served import Served
from dim.serve.settings import Settings

TYPES = ("text/turtle", "application/x-turtle")
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "text/turtle": {"schema": {"type": "string", "description": "NIF 2.0: texts with their mentions."}}
        },
    }
}
TURTLE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/turtle": {}}, "description": "The texts, and an entity for each mention, as NIF."}
}


def add_nif(router: APIRouter, served: Served, responses: dict[int | str, dict[str, Any]]) -> None:
    """Adds the route, and documents its errors."""

    @router.post("/nif", responses={**TURTLE, **responses}, response_class=Response, openapi_extra=BODY)
    async def nif(request: Request) -> Response:
        """Links the mentions that texts in NIF mark; what the KB lacks is named below aksw.org/notInWiki/."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in TYPES:
            raise Problem(415, f"Content-Type: {TYPES[0]}", kind or "none", "Send NIF as Turtle.")
        documents = await served.reader.read(request, lambda body: _read(body, served.settings), at_once=-1)
        spans = [[(each.start, each.end) for each in document.phrases] for document in documents]
        count = served.edition.linker.context_sentences
        marked = [
            marked_questions(document.text, each, sentences=count)
            for document, each in zip(documents, spans, strict=True)
        ]
        questions = [question for each in marked for _, _, question in each]
        outcomes = iter(await served.answer(request, questions, 1) if questions else [])
        named = EntityUris(served.settings.uri_prefix)
        told = [(each, _named(each, [next(outcomes) for _ in each.phrases], named)) for each in documents]
        return Response(write_nif(told), media_type=kind)


def _read(body: bytes, settings: Settings) -> list[Document]:
    """The texts. Raises Problem, or DataError, where they cannot be linked."""
    try:
        documents = read_nif(body, "the body", settings.max_values, settings.max_batch)
    except MissingExtraError as error:
        remedy = "Whoever runs it installs it, pip install 'dim-linker[nif]', and starts it again."
        raise Problem(501, "a server with the extra nif", "one without pyoxigraph", remedy) from error
    for document in documents:
        check_places(document)
    return documents


def _named(document: Document, outcomes: Sequence[Outcome], named: EntityUris) -> list[Named]:
    """What was found. Raises what stands in the place of an answer."""
    told = []
    for phrase, outcome in zip(document.phrases, outcomes, strict=True):
        if isinstance(outcome, Exception):
            raise outcome
        told += [named_as(document.text, phrase, each.id, each.probability, named) for each in outcome]
    return told
