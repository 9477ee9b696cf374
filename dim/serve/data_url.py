"""Images within JSON: as data URLs, whose bytes are read like those of an upload."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from dim.data.given_values import shown
from dim.errors import DataError
from dim.images.data_url import EXPECTED, REMEDY, image_bytes
from dim.serve.problems import Problem

SCHEMA = {"type": "string", "pattern": "^data:image/[a-z+.-]+;base64,", "description": "A data URL in base64."}


def bytes_of(url: Any) -> Any:
    """The bytes in a data URL; None stays None.

    Raises:
        Problem: 422, it is none; an address is never fetched.
    """
    if url is None:
        return None
    if not isinstance(url, str):
        raise Problem(422, EXPECTED, shown(url), REMEDY)
    try:
        return image_bytes(url)
    except DataError as error:
        raise Problem(422, error.expected, error.found, error.remedy) from error


DataUrl = Annotated[bytes, BeforeValidator(bytes_of), WithJsonSchema(SCHEMA)]
OptionalDataUrl = Annotated[
    bytes | None, BeforeValidator(bytes_of), WithJsonSchema({"anyOf": [SCHEMA, {"type": "null"}]})
]
