"""A form with an image becomes what is asked: by Starlette's parser, on a body that was read as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from dim.serve.problems import Problem
from dim.serve.reader import parsed
from dim.serve.schema import AskedText, AskedWithImage
from dim.serve.settings import Settings
from dim.serve.strict_json import strict_json

MOST_PARTS = 1000  #: Of a form; `python_multipart` bounds the headers of each.


def asked_with_image(body: bytes, content_type: str) -> tuple[AskedWithImage, bytes]:
    """What a form asks, and its image.

    Raises:
        Problem: 400, 415 or 422, it is no such form.
    """
    values, image = _fields(body, content_type, "/link")
    return parsed(AskedWithImage, values), image


def text_with_image(body: bytes, content_type: str, settings: Settings) -> tuple[AskedText, bytes]:
    """The text of a form, with its spans as JSON, and its image; as `asked_with_image`."""
    values, image = _fields(body, content_type, "/annotate")
    if isinstance(spans := values.get("spans"), str):
        values["spans"] = strict_json(spans.encode(), settings.max_values)
    return parsed(AskedText, values, settings.max_batch), image


def _fields(body: bytes, content_type: str, without: str) -> tuple[dict[str, Any], bytes]:
    """The fields of a form, and its image; `without` is where one asks that has none."""
    values: dict[str, Any] = {}
    image: bytes | None = None
    for name, value in _parts(body, content_type):
        if isinstance(value, bytes) != (name == "image"):
            found = f"{name[:80]} as a {'file' if isinstance(value, bytes) else 'text'}"
            raise Problem(422, "the file image, and texts as other fields", found, "Send it as the other.")
        if isinstance(value, bytes):
            image = value
        elif name == "candidates":
            values.setdefault(name, []).append(value)
        elif name in values:
            raise Problem(422, f"{name[:80]} once", "it twice", "Send it once.")
        else:
            values[name] = value
    if image is None:
        raise Problem(422, "the file image", "none", f"Send it as image, or ask {without}.")
    top_k = values.get("top_k", "")
    if top_k.isascii() and top_k.isdigit() and len(top_k) < 10:  # a form has texts alone
        values["top_k"] = int(top_k)
    if values.get("collective") in ("true", "false"):
        values["collective"] = values["collective"] == "true"
    return values, image


def _parts(body: bytes, content_type: str) -> list[tuple[str, str | bytes]]:
    # Starlette reads texts by any decoder of Python's that is named here, and some take far longer than others.
    charset = parse_options_header(content_type)[1].get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() != "utf-8":
        raise Problem(415, "a form in UTF-8", f"charset={charset}", "Send it in UTF-8.")
    parser = _Parser(body, content_type)
    try:
        return asyncio.run(_read(parser))
    except (MultiPartException, FormParserError) as error:  # older Starlettes let the second through
        found = str(getattr(error, "message", error))
        raise Problem(400, "a form that can be read", found, "Send what /docs shows for this route.") from error


async def _read(parser: _Parser) -> list[tuple[str, str | bytes]]:
    form = await parser.parse()
    try:
        return [
            (name, await value.read() if isinstance(value, UploadFile) else value) for name, value in form.multi_items()
        ]
    finally:
        await form.close()


class _Parser(MultiPartParser):
    """Reads a form that is there as a whole: its file stays in memory, where the body is, and its end is there."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body, self.has_ended = body, False
        self.spool_max_size = len(body) + 1
        super().__init__(
            Headers({"content-type": content_type}),
            self._whole(),
            max_files=1,
            max_fields=MOST_PARTS,
            max_part_size=len(body),
        )

    def on_end(self) -> None:
        """Notes that the last boundary came."""
        self.has_ended = True

    async def _whole(self) -> AsyncGenerator[bytes, None]:
        yield self.body
        if not self.has_ended:  # said while it parses, it has Starlette close the files
            raise MultiPartException("The form has no end.")
