"""Raw files, read with errors that name the file and the place."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from dim.core.files import how_to_get
from dim.core.text_form import one_form
from dim.errors import ConfigError, DataError

#: What a file begins with → its encoding; UTF-32 first, because its mark begins as that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_AROUND = 12  # bytes shown on either side of one that is not in the encoding


@contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """Turns a missing, forbidden or undecodable file or folder at `path` into a `DataError`."""
    try:
        yield
    except FileNotFoundError as error:
        unpacked = "" if path.suffix else "; a release has to be unpacked first"
        remedy = how_to_get(path, f"Check the path{unpacked}.")
        raise DataError(f"{path}", "nothing there", remedy) from error
    except NotADirectoryError as error:
        raise DataError(f"a folder at {path}", "a file", "Name the folder that holds the release.") from error
    except PermissionError as error:
        raise DataError(
            f"permission to read {path}", "it is denied", "Change its permissions (chmod), or run as its owner."
        ) from error
    except UnicodeEncodeError:
        raise
    except UnicodeError as error:
        raise _not_in_encoding(path, error) from error
    except OSError as error:
        raise DataError(f"a readable {path}", str(error), "Check the disk and the path.") from error


@contextmanager
def open_text(path: Path, encoding: str | None = None, newline: str | None = None) -> Iterator[TextIO]:
    """A text file, opened in the encoding given, or in that which its first bytes tell (`text_encoding`).

    Raises:
        ConfigError: There is no such encoding.
        DataError: The file cannot be read, or is not in the encoding; the message names the line, and how the place
            reads in cp1252, which spreadsheets write on Windows.
    """
    if encoding is not None:
        try:
            encoding = codecs.lookup(encoding).name
        except LookupError as error:
            raise ConfigError("an encoding, such as utf-8, cp1252 or utf-16", encoding, "Name another.") from error
    chosen = encoding or text_encoding(path)
    with (
        explain_read_errors(path),
        path.open(encoding="utf-8-sig" if chosen == "utf-8" else chosen, newline=newline) as file,
    ):
        yield file


def text_encoding(path: Path) -> str:
    """The encoding that the first bytes of a text file tell: UTF-16 or UTF-32 by mark or zero bytes, else UTF-8."""
    with explain_read_errors(path), path.open("rb") as file:
        head = file.read(256)
    marked = next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), None)
    if marked is None and len(head) > 1:
        # Without a mark: the upper half of each ASCII letter is a zero byte.
        halves = {"utf-16-le": head[1::2], "utf-16-be": head[0::2]}
        marked = next((name for name, half in halves.items() if half.count(0) > 0.4 * len(half)), None)
    return marked or "utf-8"


def _not_in_encoding(path: Path, error: UnicodeError) -> DataError:
    if not isinstance(error, UnicodeDecodeError):  # such as UTF-16 without the mark that it needs
        return DataError(f"text in {path}", str(error), "Save the file as UTF-8, or name its --encoding.")
    found = f"the byte {error.object[error.start]:#04x}"
    if error.encoding != "utf-8":
        remedy = "Name another --encoding, or save the file as UTF-8."
        return DataError(f"text in {error.encoding} in {path}", found, remedy)
    remedy = "Save the file as UTF-8."
    with path.open("rb") as file:
        # The error knows its place in a piece of the file only.
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as at_line:
                piece = line[max(0, at_line.start - _AROUND) : at_line.start + _AROUND]
                found = f"the byte {line[at_line.start]:#04x} at line {number}"
                try:
                    found += f", which is cp1252 if this reads well: {piece.decode('cp1252').strip()!r}"
                    remedy = "Save the file as UTF-8; of a table you can name the encoding too: --encoding cp1252."
                except UnicodeDecodeError:
                    remedy = "Save the file as UTF-8; of a table you can name the --encoding too."
                break
    return DataError(f"UTF-8 text in {path}", found, remedy)


def check_there(path: Path, what: str, remedy: str) -> None:
    """Raises DataError where nothing is at a path that somebody named, with how to get it, and else the remedy."""
    with explain_read_errors(path):
        is_there = path.exists()
    if not is_there:
        raise DataError(f"{what} at {path}", "nothing there", how_to_get(path, remedy))


def list_names(root: Path) -> frozenset[str]:
    """The names in the folder `root`, or the one name of `root` if it is a file.

    Raises:
        DataError: There is nothing at `root`, or it cannot be read.
    """
    with explain_read_errors(root):
        return frozenset({root.name} if root.is_file() else (path.name for path in root.iterdir()))


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: The file is missing, unreadable or no valid JSON, or one of its objects has a key twice.
    """
    with open_text(path) as file:
        text = file.read()
    return parse_json(text, path)


def parse_json(text: str, path: Path, first_line: int = 1) -> Any:
    """The JSON value in `text`; `first_line` is the line of `path` where it begins, for the message."""
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        ends = error.pos >= len(text.rstrip())
        raise DataError(
            f"JSON in {path}",
            f"{'its end (truncated?)' if ends else error.msg} at line {error.lineno + first_line - 1}, "
            f"column {error.colno}",
            "Download or write the file again.",
        ) from error
    except (RecursionError, ValueError) as error:
        raise refused_json(path, error) from error


def refused_json(path: Path, error: RecursionError | ValueError) -> DataError:
    """What is said of JSON without a syntax error that the decoder does not take."""
    if isinstance(error, RecursionError):
        return DataError(f"JSON in {path}", "brackets nested too deeply", "Download the file again.")
    if isinstance(error, RepeatedKeyError):
        found = f"the key {error} twice in one object"
        return DataError(f"every key once in {path}", found, "Remove one of the two rows.")
    # A whole number of thousands of digits.
    return DataError(f"JSON in {path}", str(error), "Write the number as a text, or leave it out.")


def read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The number of each line that is not blank, and its JSON value. Raises DataError as `read_json`."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, parse_json(line.rstrip(), path, first_line=number)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises DataError also where it holds something else."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"a JSON object in {path}", json_type(value), "Check --layout: other releases use arrays.")
    return value


def json_type(value: Any) -> str:
    """What a JSON value is, in words for a message.

    Example:
        >>> json_type([1, 2]), json_type(None)
        ('an array', 'null')
    """
    if value is None:
        return "null"
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)


def field_problem(row: Any, types: Mapping[str, Any], required: Collection[str] = ()) -> str | None:
    """What is wrong with a row's fields, in words; None where each has its type. A boolean is no number here.

    Args:
        row: A JSON value.
        types: Field → the types it may have; with `None` among them it may be absent unless it is required.
        required: Fields that must be there.

    Example:
        >>> field_problem({"id": True}, {"id": int}), field_problem({}, {"id": int | None}, required=["id"])
        ("a boolean as 'id'", "no field 'id'")
    """
    if not isinstance(row, dict):
        return json_type(row)
    for name, allowed in types.items():
        absent = name not in row
        if absent and name in required:
            return f"no field '{name}'"
        if not isinstance(row.get(name), allowed) or isinstance(row.get(name), bool):
            return f"no field '{name}'" if absent else f"{json_type(row[name])} as '{name}'"
    return None


def check_once(columns: Sequence[str], path: Path) -> None:
    """Raises DataError where a table has a column twice."""
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DataError(f"every column once in {path}", f"'{twice[0]}' twice", "Rename one of them.")


def check_row(
    problem: str | None, what: str, path: Path, where: str, remedy: str = "Check --layout, or put the row right."
) -> None:
    """Raises DataError for a row that has a problem.

    Args:
        problem: As `field_problem` says it; None: the row has none.
        what: Such rows and their fields: `rows of {id, sentence}`.
        path: Where they are.
        where: The row: `in line 3`.
        remedy: What to do.
    """
    if problem is not None:
        raise DataError(f"{what} in {path}", f"{problem} {where}", remedy)


def clean_text(text: str) -> str:
    r"""The text in its one form, as UTF-8 can hold it: half of a surrogate pair (JSON allows "\ud83d" alone) is `?`."""
    return text if text.isascii() else one_form(text.encode("utf-8", "replace").decode("utf-8"))


class RepeatedKeyError(ValueError):
    """A key that stands twice in one JSON object."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of JSON pairs, for `object_pairs_hook`. Raises RepeatedKeyError."""
    # json.loads keeps the last of two equal keys in silence, so a mention would vanish uncounted.
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise RepeatedKeyError(repr(key))
            seen.add(key)
    return value
