"""Loaded by schemathesis: what is right by the OpenAPI document becomes right in what no schema can say.

An id is one of the KB, a span lies within its text, an image is one, and nothing is asked that the linker has not
learned. Forms stay as they are, since schemathesis takes a form with a file that was changed for a wrong one: there, an
answer that names an unknown id, spans that are no JSON or a file that is no image is right; so is one to a field of
another type, as a form has texts alone.
"""

import re
from typing import Any
from urllib.parse import urljoin

import httpx
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData, UnsupportedMethodResponse

NAME = "Velton"
#: A pixel.
IMAGE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if case.meta.generation.mode is not schemathesis.GenerationMode.POSITIVE or case.media_type != "application/json":
        return
    known = _ids(urljoin(case.operation.schema.get_base_url(), "/link"), case.headers)
    body = _with_known(case.body, known)
    if "questions" in body:
        body["questions"] = [_with_known(each, known) for each in body["questions"]]
    if body.get("spans") is not None:
        body["text"] = NAME + body["text"]
        body["spans"] = [_span(**span) for span in body["spans"]]
    body.pop("collective", None)  # right where the linker has learned it
    if isinstance(body.get("image"), str):
        body["image"] = IMAGE
    if "images" in body:
        body["images"] = [IMAGE] * len(body["images"])
    case.body = body


@schemathesis.serializer("text/turtle")
def turtle(context: Any, value: Any) -> bytes:
    return (value if isinstance(value, str) else str(value)).encode("utf-8", "replace")


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    if case.method == "DELETE" and case.operation.path.endswith("/images/{n}"):  # an entity's id may end like that
        return not isinstance(failure, UnsupportedMethodResponse)
    if case.media_type == "text/turtle":  # any text is right by the document, and hardly one of them is Turtle
        return not isinstance(failure, RejectedPositiveData | AcceptedNegativeData)
    if case.media_type != "multipart/form-data":
        return True
    if isinstance(failure, AcceptedNegativeData):  # null becomes the text null in a form
        return "violates `type`" not in failure.message
    if isinstance(failure, RejectedPositiveData):
        return not re.match(
            "the id of one of|an image|JSON|whole characters|spans|0 <= start|a name of 1|a linker that has learned",
            response.json()["error"]["expected"],
        )
    return True


def _with_known(question: dict[str, Any], known: list[str]) -> dict[str, Any]:
    if not question.get("candidates"):
        return dict(question)
    return {**question, "candidates": [known[len(each) % len(known)] for each in question["candidates"]]}


def _span(start: int, end: int) -> dict[str, int]:
    start %= len(NAME)
    return {"start": start, "end": start + 1 + end % (len(NAME) - start)}


_known: list[str] = []


def _ids(url: str, headers: Any) -> list[str]:
    if not _known:
        answers = httpx.post(url, json={"mention": NAME, "top_k": 20}, headers=headers).json()["answers"]
        _known.extend(answer["id"] for answer in answers if answer["id"] != "NIL")
    return _known
