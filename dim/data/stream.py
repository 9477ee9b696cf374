"""One large JSON array or object, read item by item: memory for one item, not for the file.

The standard library's decoder runs over a window of the text that moves on, about as fast as `json.load`. (`ijson`,
with its parser in C, is twice as fast, but tells neither the line of an error nor that a key stands twice.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn

from dim.core.progress import shown
from dim.data.files import RepeatedKeyError, json_type, open_text, refused_json, unique_keys
from dim.display.terminal import TextColumn
from dim.errors import DataError

CHUNK = 1 << 20  # characters
MIN_BYTES_TO_WATCH = 8 << 20  # from here on a progress bar is worth its line
_SPACES = re.compile(r"[ \t\n\r]*")
_CLOSING = {"[": "]", "{": "}"}
_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)
# A value that the window's end cuts off fails in a string, or this near to the end (inside -Infinity or \ud83d\ude00).
_REACH = 12


def read_items(path: Path, encoding: str | None = None) -> Iterator[tuple[int, Any]]:
    """The number (from 1) and the value of each item of the JSON array in `path`, in an encoding as of `open_text`.

    Raises:
        DataError: As `dim.data.files.read_json`, at the item where it shows, and where the file holds no array.
    """
    yield from enumerate((value for _, value in _read(path, "[", encoding)), start=1)


def read_members(path: Path) -> Iterator[tuple[str, Any]]:
    """The key and the value of each member of the JSON object in `path`.

    Raises:
        DataError: As `dim.data.files.read_json`, at the member where it shows, and where the file holds no object.
    """
    seen: set[str] = set()
    for key, value in _read(path, "{"):
        if key in seen:
            raise refused_json(path, RepeatedKeyError(repr(key)))
        seen.add(key)
        yield key, value


def _read(path: Path, bracket: str, encoding: str | None = None) -> Iterator[tuple[str, Any]]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with open_text(path, encoding) as file:
        size = path.stat().st_size
        silent, read = size < MIN_BYTES_TO_WATCH, 0
        with shown(f"reading {path.name}", size, unit="MB", columns=columns, silent=silent) as advance:

            def tell(num_bytes: int) -> None:
                nonlocal read
                advance(num_bytes - read)
                read = num_bytes

            yield from _Window(file, path, tell).items(bracket)


class _Window:
    """A piece of the text; what stands before `at` is done with.

    Args:
        file: The text.
        path: Its place, for messages.
        tell: Called with the number of bytes read so far.
    """

    def __init__(self, file: TextIO, path: Path, tell: Callable[[int], None]) -> None:
        self.file, self.path, self.tell = file, path, tell
        self.text, self.at, self.ended = "", 0, False
        self.line, self.column = 1, 1  # of the first character

    def items(self, bracket: str) -> Iterator[tuple[str, Any]]:
        """Keys (empty in an array) and values between the outermost brackets."""
        self._open(bracket)
        more = self._peek() != _CLOSING[bracket]
        while more:
            key = self._key() if bracket == "{" else ""
            yield key, self._value()
            more = self._peek() == ","
            if more:
                self.at += 1
        if self._peek() != _CLOSING[bracket]:
            raise self._error("Expecting ',' delimiter", self.at)
        self.at += 1
        if self._peek():
            raise self._error("Extra data", self.at)

    def _open(self, bracket: str) -> None:
        first = self._peek()
        if first != bracket:
            wanted, other = ("array", "an object") if bracket == "[" else ("object", "an array")
            found = other if first in _CLOSING else json_type(self._value())
            raise DataError(f"a JSON {wanted} in {self.path}", found, "Check --layout, or download the file again.")
        self.at += 1

    def _key(self) -> str:
        if self._peek() != '"':
            raise self._error("Expecting property name enclosed in double quotes", self.at)
        key = self._value()
        if self._peek() != ":":
            raise self._error("Expecting ':' delimiter", self.at)
        self.at += 1
        return str(key)

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - _REACH
                if not is_cut or not self._read_on():
                    raise self._error(error.msg, error.pos) from error
            except (RecursionError, ValueError) as error:
                raise refused_json(self.path, error) from error
            else:
                # A number near the window's end may go on behind it, even where `.` or `e-` follows.
                if end + 2 < len(self.text) or not self._read_on():
                    self.at = end
                    return value

    def _peek(self) -> str:
        """The next character that is no space, which `at` then points to; empty at the end of the file."""
        while True:
            spaces = _SPACES.match(self.text, self.at)
            assert spaces is not None  # it matches nothing as well
            self.at = spaces.end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._read_on():
                return ""

    def _read_on(self) -> bool:
        """Moves the window on; False at the end of the file."""
        rest = len(self.text) - self.at
        # A window that holds no whole value doubles, so that a long one is not decoded again for each chunk.
        more = "" if self.ended else self.file.read(max(CHUNK, rest))
        if not more:
            self.ended = True
            return False
        self.line, self.column = self._place(self.at)
        self.text, self.at = self.text[self.at :] + more, 0
        self.tell(self.file.buffer.tell())
        return True

    def _place(self, position: int) -> tuple[int, int]:
        num_lines = self.text.count("\n", 0, position)
        if num_lines == 0:
            return self.line, self.column + position
        return self.line + num_lines, position - self.text.rindex("\n", 0, position)

    def _error(self, message: str, position: int) -> DataError:
        line, column = self._place(position)
        ends = self.ended and position >= len(self.text.rstrip())
        return DataError(
            f"JSON in {self.path}",
            f"{'its end (truncated?)' if ends else message} at line {line}, column {column}",
            "Download or write the file again.",
        )
