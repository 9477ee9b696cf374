"""Whether an ONNX file is whole: all weights in it, and no operation but ONNX's own. It may be a stranger's.

ONNX lets a file name others that hold its weights, by any path, and operations of libraries that are loaded for it.
Neither is in what dim writes, so neither is read. The file is walked as it lies on the disk (protobuf's wire format),
past the weights themselves.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from dim.core.files import regular
from dim.errors import DataError

#: Message → field → message in it, of onnx.proto, as far as tensors and nodes stand below.
_BELOW: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "tensor": {},
}
_DOMAIN, _EXTERNAL_DATA, _DATA_LOCATION = 7, 13, 14  # of a node; of a tensor
_OWN_DOMAINS = (b"", b"ai.onnx")
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # kinds of a field on the wire


def check_whole(path: Path) -> None:
    """Raises DataError where an ONNX file names other files or foreign operations, or is none."""
    what, remedy = f"a whole ONNX file with operations of ONNX alone at {path}", "Export the encoder again."
    try:
        with regular(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _foreign(data)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(what, f"a damaged file ({error})", remedy) from error
    if found:
        raise DataError(what, found, remedy)


def _foreign(data: mmap.mmap) -> str:
    """What of a file is not in it, in words; empty: nothing."""
    left = [("model", 0, len(data))]
    while left:
        kind, start, stop = left.pop()
        for field, begin, end, value in _fields(data, start, stop):
            if kind == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value)):
                return "weights that stand in another file"
            if kind == "node" and field == _DOMAIN and data[begin:end] not in _OWN_DOMAINS:
                return f"an operation of {data[begin : min(end, begin + 80)]!r}"
            if field in _BELOW[kind]:
                left.append((_BELOW[kind][field], begin, end))
    return ""


def _fields(data: mmap.mmap, place: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message: number, where the content begins and ends, and its value if it is a number."""
    while place < stop:
        key, begin = _varint(data, place, stop)
        number, kind, value = key >> 3, key & 7, 0
        if kind == _VARINT:
            value, place = _varint(data, begin, stop)
        elif kind == _BYTES:
            length, begin = _varint(data, begin, stop)
            place = begin + length
        elif kind in (_EIGHT, _FOUR):
            place = begin + (8 if kind == _EIGHT else 4)
        else:
            raise ValueError(f"a field of kind {kind}")
        if place > stop:
            raise ValueError("a field that is longer than the file")
        yield number, begin, place, value


def _varint(data: mmap.mmap, place: int, stop: int) -> tuple[int, int]:
    """A number, and the place behind it."""
    value = shift = 0
    while place < stop and shift < 64:
        byte = data[place]
        value, place, shift = value | (byte & 127) << shift, place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("a number without an end")
