"""Every error of the server as JSON: what was expected, what was found, what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from dim.errors import DimError

LONGEST = 300  #: Characters of a part: what was found may be as long as a request.

REMEDIES = {
    400: "Send what /docs shows for this route.",
    404: "See /docs for the routes.",
    405: "Use a method that the header Allow names.",
}


class Problem(HTTPException):
    """An error with its status of HTTP; its parts are those of `dim.errors.DimError`."""

    def __init__(
        self, status: int, expected: str, found: str, remedy: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, found, headers)
        self.expected, self.found, self.remedy = expected, found, remedy

    def __reduce__(self) -> tuple[type[Problem], tuple[Any, ...]]:
        return type(self), (self.status_code, self.expected, self.found, self.remedy, self.headers)

    def response(self) -> Response:
        """The answer that the client gets."""
        return Response(
            error_json(self.expected, self.found, self.remedy),
            self.status_code,
            dict(self.headers or {}),
            media_type="application/json",
        )


def error_json(expected: str, found: str, remedy: str) -> bytes:
    """The body of an error answer."""
    return json.dumps({"error": error_parts(expected, found, remedy)}, ensure_ascii=False).encode()


def error_parts(expected: str, found: str, remedy: str) -> dict[str, str]:
    """An error's parts, cut to a length, each half character written out."""
    return {"expected": _shown(expected), "found": _shown(found), "remedy": _shown(remedy)}


def busy(expected: str, found: str, seconds: int = 1) -> Problem:
    """503: the same question may be answered in so many seconds."""
    remedy = f"Ask again in {seconds} s, as Retry-After says."
    return Problem(503, expected, found, remedy, {"Retry-After": str(seconds)})


def already_reloading() -> Problem:
    """503: what is heard by who has the linker opened again while it is being opened."""
    return busy("one reload at a time", "another that is under way", 5)


def answer_errors(app: FastAPI) -> None:
    """Makes the app answer each expected error in this shape; what is not expected goes up."""

    async def answer(request: Request, error: Exception) -> Response:
        return _problem(request, error).response()

    for kind in (HTTPException, RequestValidationError, DimError):
        app.add_exception_handler(kind, answer)


def _problem(request: Request, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, DimError):
        return Problem(422, error.expected, error.found, error.remedy)  # the linker's is one of the request
    if isinstance(error, RequestValidationError):
        return invalid(error.errors())
    assert isinstance(error, HTTPException)
    status = error.status_code
    expected = {404: "the path of a route", 405: "a method of this route"}.get(status, "a request that can be read")
    found = f"{request.method} {request.url.path}" if status in (404, 405) else str(error.detail)
    remedy = REMEDIES.get(status, "See /docs.")
    return Problem(status, expected, found, remedy, error.headers or {})


def invalid(errors: Sequence[Any]) -> Problem:
    """The first of the errors that Pydantic found in a request."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "path")) or "the body"
    found = "nothing" if first["type"] == "missing" else _snippet(first.get("input"))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(422, f"{place}: {first['msg']}", found + more, "See /docs for what this route takes.")


def _snippet(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value[:80]}'" + (f" … ({len(value):,} characters)" if len(value) > 80 else "")
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    if isinstance(value, dict):
        return f"an object of {len(value):,} fields"
    if isinstance(value, int) and abs(value) > 10**30:
        return f"a number of about {value.bit_length() * 0.30103:,.0f} digits"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)[:80]


def _shown(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
