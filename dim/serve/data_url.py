"""Images within JSON: as data URLs, whose bytes are read like those of an upload."""

from __future__ import annotations

import binascii
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from dim.data.given_values import shown
from dim.serve.problems import Problem

#: What stands before the bytes; the type that it names is not believed.
_HEAD = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
EXPECTED, REMEDY = "an image as a data URL", "Send data:image/png;base64,… with the bytes of the file."
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
    head = _HEAD.match(url)
    if head is None:
        raise Problem(422, EXPECTED, f"'{url[:40]}'", REMEDY)
    try:
        return binascii.a2b_base64(url[head.end() :], strict_mode=True)
    except ValueError as error:
        raise Problem(422, EXPECTED, f"no base64: {error}", REMEDY) from error


DataUrl = Annotated[bytes, BeforeValidator(bytes_of), WithJsonSchema(SCHEMA)]
OptionalDataUrl = Annotated[
    bytes | None, BeforeValidator(bytes_of), WithJsonSchema({"anyOf": [SCHEMA, {"type": "null"}]})
]
