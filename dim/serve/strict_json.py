"""JSON that means one thing: what is doubtful in a body is an error, and never a surprise later.

What a body costs is known before anything is made of it: its values and brackets are counted in its bytes, and a text
of too many is refused. All of it takes a time in proportion to the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from dim.serve.problems import Problem

REMEDY = "Send JSON in UTF-8."
MOST_DEPTH = 16  #: Of objects and lists in one another; what is asked has 4.
MOST_FIELDS = 32  #: Of an object; what is asked has 4.
PIECE = 2**16  #: Bytes that are counted at once.
MOST_DIGITS = 1000  #: Of a number: beyond, making it takes more than its length in time.

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEPS))


def strict_json(body: bytes, max_values: int) -> Any:
    """The value of a JSON text.

    Args:
        body: In UTF-8.
        max_values: Numbers, texts, lists … in it.

    Raises:
        Problem: 413, it has too many values; 422, an object has too many fields; 400, it is no JSON, or it has a key
            twice, NaN, a number beyond floats or of too many digits, half a character, or is nested too deep.
    """
    if num_values(body, max_values) > max_values:
        raise Problem(413, f"a body of at most {max_values:,} values", "more", "Send less at once.")
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_number, parse_int=_integer
        )
        if "\\ud" in text or "\\uD" in text:  # UTF-8 itself has no half characters
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        found = f"half a character, U+{ord(error.object[error.start]):04X}"
        raise Problem(400, "whole characters", found, "Cut or encode the text at whole characters.") from error
    except ValueError as error:  # no JSON, no UTF-8
        raise Problem(400, "JSON", str(error), REMEDY) from error


def num_values(body: bytes, most: int) -> int:
    """The values in a JSON text, by its commas and brackets; more than `most` where it has so many strings.

    An empty list or object counts twice. Of a text that is no JSON, at least the values before its first mistake count.

    Raises:
        Problem: 400, it is nested too deep.

    Example:
        >>> num_values(b'{"a": [1, "[,"]}', 100)
        4
    """
    count, num_quotes, depth, deepest = 1, 0, 0, 0
    for piece in _pieces(body):
        told = piece.replace(rb"\\", b"").replace(rb"\"", b"")  # the quotes that are left begin or end a string
        parts = told.split(b'"')
        outside = b"".join(parts[num_quotes % 2 :: 2])
        num_quotes += len(parts) - 1
        count += sum(map(outside.count, (b",", b"[", b"{")))
        if count > most or num_quotes > 4 * most:  # a key and a text have four
            return most + 1
        for step in map(_STEPS.__getitem__, outside.translate(None, _NO_BRACKETS)):
            depth += step
            deepest = max(deepest, depth)
    if deepest > MOST_DEPTH:
        raise Problem(400, "JSON", f"objects or lists more than {MOST_DEPTH} deep", REMEDY)
    return count


def _pieces(body: bytes) -> Iterator[bytes]:
    """A body in pieces, between which others have their turn; none ends between a backslash and what it is for."""
    start = 0
    while start < len(body):
        end = start + PIECE
        piece = body[start:end]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            end += 1
        yield body[start:end]
        start = end


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_FIELDS:
        raise Problem(422, f"objects of at most {MOST_FIELDS} fields", f"{len(pairs):,}", "See /docs for the fields.")
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key '{key[:80]}' twice")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is not JSON")


def _integer(text: str) -> int:
    _check_digits(text)
    return int(text)


def _number(text: str) -> float | int:
    _check_digits(text)
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:80]}, too large")
    # 5.0 is an integer to JSON Schema
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _check_digits(text: str) -> None:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text):,} characters, too long")
