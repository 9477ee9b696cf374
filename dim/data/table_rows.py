"""One row of an entity or of a mention table, whoever hands it over: `prepare`, `add_entities`, `link`, `dim link`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from dim.data.entity import Entity
from dim.data.files import json_type
from dim.data.given_values import plain
from dim.data.table_files import check_size, known_names, list_cell, number_cell, text_cell
from dim.errors import DataError

ENTITY_COLUMNS = ("id", "name", "description", "aliases", "image", "type", "popularity")
MENTION_COLUMNS = ("mention", "context", "entity_id", "image", "start", "end", "type", "split", "candidates")
#: What dataset folders and linkers call a column; read where the row has no column of the first name.
SYNONYMS = {"description": "text", "image": "images"}
LONGEST_WORDS = 10_000  #: Characters of an id, a name, a type or a path.
LONGEST_TEXT = 1_000_000  #: Characters of what is said of an entity.
NEAR = 0.75  #: From which likeness on (difflib's ratio) an unknown column may be meant for a known one.


@dataclass(frozen=True, slots=True)
class MentionRow:
    """A mention as its row says, empty where it says nothing.

    Attributes:
        mention: The name; may be empty.
        context: The text around it, as it stands: offsets count its characters.
        images: Paths as the row has them.
        candidates: Ids of the entities that compete, or None.
        entity_id: The gold; may be empty.
        span: First character and one past the last, where the row has them.
        type: A label, or None.
    """

    mention: str
    context: str
    images: list[str]
    candidates: list[str] | None
    entity_id: str
    span: tuple[int | None, int | None]
    type: str | None


def entity_row(row: Mapping[str, Any], where: str) -> Entity:
    """The entity of a row; its id and its name may be empty.

    Args:
        row: Column → value: of a file, or Python's, NumPy's or pandas' own.
        where: Its place, for messages.

    Raises:
        DataError: A text is an object, an array, a boolean or bytes, or too long, or the popularity is no number.
    """
    text, image = (_column(row, name) for name in ("description", "image"))
    return Entity(
        id=_text(row, "id", where),
        name=_text(row, "name", where),
        text=_text(row, text, where, LONGEST_TEXT) or None,
        aliases=tuple(_texts(row, "aliases", where)),
        images=tuple(_texts(row, image, where)),
        type=_text(row, "type", where) or None,
        popularity=number_cell(plain(row.get("popularity")), f"{where}, column popularity"),
    )


def mention_row(row: Mapping[str, Any], where: str) -> MentionRow:
    """The mention of a row; arguments and errors are as of `entity_row`."""
    context = plain(row.get("context"))
    start, end = (number_cell(plain(row.get(name)), f"{where}, column {name}") for name in ("start", "end"))
    candidates = plain(row.get("candidates"))
    return MentionRow(
        mention=_text(row, "mention", where),
        # Of a long one, what stands around the mention is read.
        context=context if isinstance(context, str) else _text(row, "context", where),
        images=_texts(row, _column(row, "image"), where),
        candidates=None if candidates in (None, "") else _texts(row, "candidates", where),
        entity_id=_text(row, "entity_id", where),
        span=(None if start is None else int(start), None if end is None else int(end)),
        type=_text(row, "type", where) or None,
    )


def by_known_names(row: Mapping[Any, Any], known: Collection[str]) -> dict[str, Any]:
    """A caller's row with the names that a table's columns get, see `dim.data.table_files.known_names`.

    Example:
        >>> by_known_names({"Mention": "Ada", 5: "x"}, ["mention"])
        {'mention': 'Ada', '5': 'x'}
    """
    return dict(zip(_known_names(tuple(map(str, row)), tuple(known)), row.values(), strict=True))


@lru_cache(maxsize=256)  # the rows of a table have the same columns
def _known_names(columns: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    return known_names(columns, known)


def misnamed(columns: Collection[str], known: Collection[str]) -> tuple[str, str] | None:
    """The first column that nothing reads and that looks like one which is absent, and this one.

    Example:
        >>> misnamed(["mantion", "topic"], MENTION_COLUMNS), misnamed(["mention", "mention_id"], MENTION_COLUMNS)
        (('mantion', 'mention'), None)
    """
    return _misnamed(tuple(columns), tuple(known))


@lru_cache(maxsize=256)  # the rows of a table have the same columns
def _misnamed(columns: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, str] | None:
    absent = [name for name in known if name not in columns and SYNONYMS.get(name) not in columns]
    for column in columns:
        is_read = column in known or column in SYNONYMS.values()
        if not is_read and (near := get_close_matches(str(column), absent, n=1, cutoff=NEAR)):
            return str(column), near[0]
    return None


def read_columns(columns: Collection[str], known: Collection[str]) -> list[str]:
    """The known columns, and those that are read in the place of one that is absent.

    Example:
        >>> read_columns(["id", "name", "text"], ["id", "name", "description"])
        ['id', 'name', 'description', 'text']
    """
    return [*known, *(other for name, other in SYNONYMS.items() if name in known and name not in columns)]


def _column(row: Mapping[str, Any], name: str) -> str:
    return name if name in row else SYNONYMS[name]


def check_length(text: str, what: str, where: str, longest: int = LONGEST_WORDS) -> None:
    """Raises DataError where a text is longer than a field of its kind may be."""
    if len(text) > longest:
        raise DataError(f"at most {longest:,} characters as {what} in {where}", f"{len(text):,}", "Shorten it.")


def _text(row: Mapping[str, Any], column: str, where: str, longest: int = LONGEST_WORDS) -> str:
    text = text_cell(_checked(plain(row.get(column)), f"text as {column}", where))
    check_length(text, column, where, longest)
    return text


def _texts(row: Mapping[str, Any], column: str, where: str) -> list[str]:
    value = plain(row.get(column))
    what = "paths of files" if column in ("image", "images") else "texts"
    for each in value if isinstance(value, list) else [value]:
        _checked(each, f"{what} as {column}", where)
    texts = list_cell(value)
    for text in texts:
        check_length(text, column, where)
    return texts


def _checked(value: Any, expected: str, where: str) -> Any:
    if value is None or (isinstance(value, str | int | float | Decimal | date) and not isinstance(value, bool)):
        check_size(value, where)
        return value
    remedy = "Decode the bytes." if isinstance(value, bytes) and expected.startswith("text") else "Put the value right."
    raise DataError(f"{expected} in {where}", json_type(value), remedy)
