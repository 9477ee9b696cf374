"""Bodies that nobody sends who wants an answer: of each kind, of any size, for each route."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from random import Random

from PIL import Image

Body = Callable[[Random, int], bytes]

BOUNDARY = b"of-a-form"
QUESTION = b'{"mention":"a"}'
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"


def _filled(start: bytes, item: bytes, end: bytes) -> Body:
    """As many of an item as fit between a start and an end."""
    return lambda _, size: start + item * (max(size - len(start) - len(end), 0) // len(item)) + end


def _listed(start: bytes, item: bytes, end: bytes) -> Body:
    """The same, with commas between them."""

    def body(random: Random, size: int) -> bytes:
        count = max(size - len(start) - len(end), 0) // (len(item) + 1)
        return start + b",".join([item] * count) + end

    return body


def _keys(value: bytes, is_twice: bool = False) -> Body:
    """An object of many keys, each its own; or the last twice."""

    def body(random: Random, size: int) -> bytes:
        count = max(size // (len(value) + 10), 1)
        last = b',"%x":0' % (count - 1) if is_twice else b""
        return b"{" + b",".join(b'"%x":%b' % (place, value) for place in range(count)) + last + b"}"

    return body


def _cut(whole: bytes) -> Body:
    """Something right that ends anywhere, or has another byte in some places."""

    def body(random: Random, size: int) -> bytes:
        found = bytearray(whole)
        for _ in range(random.randrange(4)):
            found[random.randrange(len(found))] = random.randrange(256)
        return bytes(found[: random.randrange(len(found) + 1)])

    return body


def _random(random: Random, size: int) -> bytes:
    return random.randbytes(size)


def _other_encoding(random: Random, size: int) -> bytes:
    return json.dumps({"mention": "a", "context": "ä" * (size // 2)}, ensure_ascii=False).encode("utf-16")


#: By the name of what is wrong.
JSON_BODIES: dict[str, Body] = {
    "lists in lists": _filled(b"", b"[", b""),
    "objects in objects": _filled(b"", b'{"a":', b""),
    "closed lists": _listed(b"[", b"[]", b"]"),
    "many keys": _keys(b"0"),
    "many keys with objects": _keys(b"{}"),
    "one key, often": _listed(b"{", b'"a":0', b"}"),
    "one of many keys, twice": _keys(b"0", is_twice=True),
    "numbers for questions": _listed(b'{"questions":[', b"0", b"]}"),
    "empty questions": _listed(b'{"questions":[', b"{}", b"]}"),
    "many questions": _listed(b'{"questions":[', QUESTION, b"]}"),
    "unknown candidates": _listed(b'{"mention":"a","candidates":[', b'"b"', b"]}"),
    "no candidates": _listed(b'{"mention":"a","candidates":[', b"0", b"]}"),
    "candidates of many": _listed(b'{"questions":[', b'{"mention":"a","candidates":["b","c","d"]}', b"]}"),
    "many spans": _listed(b'{"text":"a","spans":[', b'{"start":0,"end":1}', b"]}"),
    "numbers for spans": _listed(b'{"text":"a","spans":[', b"0", b"]}"),
    "a long text": _filled(b'{"spans":[{"start":0,"end":1}],"text":"', b"a ", b'"}'),
    "a long context": _filled(b'{"mention":"a","context":"', b"a. ", b'"}'),
    "a long mention": _filled(b'{"mention":"', b"a", b'"}'),
    "a wide text": _filled(b'{"mention":"a","context":"\xf0\x9f\x99\x82', b"a", b'"}'),
    "escapes": _filled(b'{"mention":"a","context":"', b"\\u00e9", b'"}'),
    "backslashes": _filled(b'{"mention":"a","context":"', b"\\\\", b'"}'),
    "quotes": _filled(b'{"mention":"a","context":"', b'\\"', b'"}'),
    "quotes alone": _filled(b"", b'"', b""),
    "commas": _filled(b"[", b",", b"]"),
    "half characters": _filled(b'{"mention":"a","context":"', b"\\ud800", b'"}'),
    "a long integer": _filled(b'{"mention":"a","top_k":', b"9", b"}"),
    "long integers": _listed(b'{"mention":"a","candidates":[', b"9" * 900, b"]}"),
    "a long fraction": _filled(b'{"mention":"a","top_k":0.', b"1", b"}"),
    "a long exponent": _filled(b'{"mention":"a","top_k":1e', b"1", b"}"),
    "spaces": _filled(b"", b" ", QUESTION),
    "nothing but zeros": _filled(b"", b"\0", b""),
    "no JSON": _random,
    "UTF-16": _other_encoding,
    "cut": _cut(b'{"questions":[{"mention":"Velton","context":"Velton smiled.","candidates":["Q1"]}],"top_k":3}'),
    "cut spans": _cut(b'{"text":"Velton smiled. Nobody knew.","spans":[{"start":0,"end":6}],"top_k":3}'),
    "right": lambda random, size: QUESTION,
}


def _part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b"--%b\r\nContent-Disposition: form-data; name=%b%b\r\n\r\n%b\r\n" % (BOUNDARY, name, more, value)


def _picture(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, "PNG")
    return file.getvalue()


END = b"--%b--\r\n" % BOUNDARY
FILE = b'; filename="a"'
PICTURE = _part(b"image", _picture(30), FILE)

FORM_BODIES: dict[str, Body] = {
    "many fields": _filled(PICTURE, _part(b"candidates", b"a"), END),
    "many empty parts": _filled(b"", b"--%b\r\n\r\n\r\n" % BOUNDARY, END),
    "many files": _filled(b"", PICTURE, END),
    "many headers": _filled(b"--%b\r\n" % BOUNDARY, b"A: b\r\n", b"\r\n" + END),
    "a long header": _filled(b"--%b\r\nContent-Disposition: " % BOUNDARY, b"a", b"\r\n\r\n" + END),
    "many parameters": _filled(b"--%b\r\nContent-Disposition: form-data" % BOUNDARY, b"; a=b", b"\r\n\r\n" + END),
    "a long field": _filled(PICTURE + _part(b"mention", b"")[:-2], b"a", b"\r\n" + END),
    "a file of zeros": _filled(_part(b"image", b"", FILE)[:-2], b"\0", b"\r\n" + END),
    "almost boundaries": _filled(_part(b"image", b"", FILE)[:-2], b"\r\n--of-a-for", b"\r\n" + END),
    "ends of lines": _filled(_part(b"image", b"", FILE)[:-2], b"\r\n", END),
    "lines before": _filled(b"", b"\r\n", PICTURE + END),
    "no end": _filled(PICTURE, b"a", b""),
    "no form": _random,
    "cut": _cut(PICTURE + _part(b"mention", b"Velton") + _part(b"top_k", b"3") + END),
    "right": lambda random, size: PICTURE + _part(b"mention", b"Velton") + END,
}
