"""Images that stand in a text: data URLs, whose bytes are read like those of a file."""

from __future__ import annotations

import binascii
import re

from dim.errors import DataError

#: What stands before the bytes; the type that it names is not believed.
_HEAD = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
EXPECTED, REMEDY = "an image as a data URL", "Send data:image/png;base64,… with the bytes of the file."


def is_data_url(image: str) -> bool:
    """Whether a text is meant as one; a file is not called so.

    Example:
        >>> is_data_url("data:image/png;base64,iVBO"), is_data_url("data/1.png")
        (True, False)
    """
    return image[:5].casefold() == "data:"


def image_bytes(url: str) -> bytes:
    """The bytes in a data URL.

    Raises:
        DataError: It is none; an address is never fetched.
    """
    head = _HEAD.match(url)
    if head is None:
        raise DataError(EXPECTED, f"'{url[:40]}'", REMEDY)
    try:
        return binascii.a2b_base64(url[head.end() :], strict_mode=True)
    except ValueError as error:
        raise DataError(EXPECTED, f"no base64: {error}", REMEDY) from error
