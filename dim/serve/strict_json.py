"""JSON that means one thing: what is doubtful in a body is an error, and never a surprise later."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from dim.serve.problems import Problem

REMEDY = "Send JSON in UTF-8."


def strict_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        Problem: 400, it is none, or it has a key twice, NaN, a number beyond floats, half a character, or is nested too
            deep.
    """
    try:
        value = json.loads(body, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_number)
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError as error:
        raise Problem(400, "JSON", "objects or lists nested too deep", REMEDY) from error
    except UnicodeEncodeError as error:
        found = f"half a character, U+{ord(error.object[error.start]):04X}"
        raise Problem(400, "whole characters", found, "Cut or encode the text at whole characters.") from error
    except ValueError as error:  # no JSON, no UTF-8, an integer of thousands of digits
        raise Problem(400, "JSON", str(error).split("; use", 1)[0], REMEDY) from error


class JsonRoute(APIRoute):
    """A route that takes JSON by these rules, or a form, and says so to everything else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with its requests read strictly."""
        handler, takes_json = super().get_route_handler(), self.body_field is not None

        async def strict(request: Request) -> Response:
            if takes_json:
                check_type(request, "application/json")
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


class StrictRequest(Request):
    """A request whose JSON is read by these rules."""

    async def json(self) -> Any:
        """The value of the body."""
        return strict_json(await self.body())


def check_type(request: Request, wanted: str) -> None:
    """Raises Problem (415) where a body is of another type."""
    found = request.headers.get("content-type", "")
    if found.partition(";")[0].strip().lower() != wanted:
        raise Problem(415, f"Content-Type: {wanted}", found or "none", f"Send the body as {wanted}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key '{twice[:80]}' twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is not JSON")


def _number(text: str) -> float | int:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:80]}, too large")
    # 5.0 is an integer to JSON Schema
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
