"""Items of a Wikidata dump, a line each, as rows of a KB. Runs in processes of its own, so it imports little."""

from __future__ import annotations

import gc
import json
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, Any

from dim.data.files import clean_text
from dim.data.skipped import Skipped

DEFAULT = "mul"  #: As which labels and aliases stand that hold in each language without one of its own.
BRIEF = "brief"  #: The text in the first of the languages that has one; beside it stands one a language.
NO_JSON, NO_ITEM, OTHER_CLASS, NO_LABEL = "no JSON", "no item", "of other classes", "without a label in these languages"
_ITEM_ID = re.compile(r"Q[1-9]\d*")
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder an item
_WITHIN = bytes(set(range(32, 256)) - set(b'{}[]"'))  # what no form hangs on
_SIZE = 8  #: Bytes that tell a message's length.
COLUMNS = ("id", "name", "aliases", "type", "popularity", "images", "attributes")


@dataclass(frozen=True)
class Wanted:
    """What of a dump becomes the KB.

    Attributes:
        languages: Of labels, aliases and descriptions, the first one first.
        classes: An item stays where one of them is its `instance of` (P31); empty: all items.
    """

    languages: tuple[str, ...]
    classes: tuple[str, ...] = ()

    @property
    def variants(self) -> tuple[str, ...]:
        """The entity texts: the description in the first language that has one, and in each of several."""
        return (BRIEF, *self.languages) if len(self.languages) > 1 else (BRIEF,)


@dataclass
class Extracted:
    """The entities of some lines, as columns.

    Attributes:
        columns: Those of `ENTITY_SCHEMA` (`COLUMNS`).
        texts: Variant → the text of each entity, empty where it has none.
        left: The lines that are no entity, by reason.
        newest: The last change of an item that was read, as the dump writes it.
    """

    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    texts: dict[str, list[str]] = field(default_factory=dict)
    left: Skipped = field(default_factory=Skipped)
    newest: str = ""


def extract(block: bytes, wanted: Wanted, first_line: int = 1) -> Extracted:
    """The entities of whole lines.

    Args:
        block: JSON objects, one a line, with or without a comma behind it; `[` and `]` are nothing.
        wanted: Which of them, and what of each.
        first_line: The number of the first line, for examples.
    """
    found = Extracted(texts={variant: [] for variant in wanted.variants})
    marks = [json.dumps(each).encode() for each in wanted.classes]
    for number, line in enumerate(block.split(b"\n"), start=first_line):
        line = line.strip(b" \t\r,")
        if line in (b"", b"[", b"]"):
            continue
        # Four of five items of a dump are of other classes: to look for the id, and at the brackets, is ten times as
        # fast as to parse.
        if marks and not any(mark in line for mark in marks) and _looks_whole(line):
            found.left.add(OTHER_CLASS, f"line {number}")
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):
            found.left.add(NO_JSON, f"line {number}")
            continue
        reason = _add(item, wanted, found)
        if reason is not None:
            found.left.add(reason, f"line {number}")
    return found


def _looks_whole(line: bytes) -> bool:
    """Whether a line may well be one JSON object, by its ends, brackets, quotes and characters."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    marks = line.translate(None, _WITHIN)
    counts = [marks.count(mark) for mark in b'{}[]"']
    return (
        line.startswith(b'{"')
        and line.endswith(b"}")
        and counts[0] == counts[1]
        and counts[2] == counts[3]
        and counts[4] % 2 == 0
        and sum(counts) == len(marks)  # the others are control characters
    )


def _add(item: Any, wanted: Wanted, found: Extracted) -> str | None:
    """Takes in one item, or says why not."""
    if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not _ITEM_ID.fullmatch(item["id"]):
        return NO_ITEM
    found.newest = max(found.newest, _text(item.get("modified")))
    classes, is_wanted = _values(item, "P31", wanted.classes)
    if not is_wanted:
        return OTHER_CLASS
    labels = _by_language(item.get("labels"), wanted.languages, DEFAULT)
    if not labels:
        return NO_LABEL
    name = next(iter(labels.values()))
    aliases = dict.fromkeys(chain(labels.values(), _aliases(item.get("aliases"), (*wanted.languages, DEFAULT))))
    del aliases[name]
    images = _values(item, "P18")[0]
    attributes: dict[str, Any] = {"labels": labels} if len(wanted.languages) > 1 else {}
    attributes |= {key: values for key, values in (("instance of", classes), ("image", images)) if values}
    descriptions = _by_language(item.get("descriptions"), wanted.languages)
    row = (
        item["id"],
        name,
        list(aliases),
        classes[0] if classes else None,
        float(len(_object(item.get("sitelinks")))),
        [image.replace(" ", "_") for image in images],
        _ENCODE(attributes) if attributes else None,
    )
    for column, value in zip(COLUMNS, row, strict=True):
        found.columns[column].append(value)
    for variant, texts in found.texts.items():
        texts.append(next(iter(descriptions.values()), "") if variant == BRIEF else descriptions.get(variant, ""))
    return None


def _by_language(value: Any, languages: Sequence[str], default: str = "") -> dict[str, str]:
    """Language → text, in the order of the languages; where one has none, that of the default."""
    of = _object(value)
    found = ((language, _value(of.get(language)) or _value(of.get(default))) for language in languages)
    return {language: text for language, text in found if text}


def _value(entry: Any) -> str:
    return _text(entry.get("value")) if isinstance(entry, dict) else ""


def _aliases(value: Any, languages: Sequence[str]) -> Iterator[str]:
    of = _object(value)
    for language in languages:
        entries = of.get(language)
        for entry in entries if isinstance(entries, list) else ():
            if text := _text(_object(entry).get("value")):
                yield text


def _values(item: dict[str, Any], name: str, asked: Sequence[str] = ()) -> tuple[list[str], bool]:
    """The values of a property, preferred ones alone where there are some; and whether one asked for is among all."""
    by_rank: dict[str, list[str]] = {"preferred": [], "normal": []}
    statements = _object(item.get("claims")).get(name)
    if statements is None:
        return [], not asked
    for statement in statements if isinstance(statements, list) else ():
        value = _object(_object(_object(statement).get("mainsnak")).get("datavalue")).get("value")
        text = _text(value.get("id") if isinstance(value, dict) else value)
        known = by_rank.get(str(statement.get("rank", "normal"))) if text else None  # deprecated ones are none
        if known is not None and text not in known:
            known.append(text)
    is_asked = not asked or any(value in asked for values in by_rank.values() for value in values)
    return by_rank["preferred"] or by_rank["normal"], is_asked


def _object(value: Any) -> dict[str, Any]:
    """An object; PHP writes an empty one as an array."""
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return (value if value.isascii() else clean_text(value)).strip()  # a call less an item's every text


def serve() -> None:
    """Answers blocks on standard input until it ends: what `ask` of `wikidata_workers` sends and reads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the one who asks
    gc.disable()  # nothing here refers in a circle, and looking for it takes as long as parsing
    told = json.loads(read_message(sys.stdin.buffer) or b"null")
    wanted = Wanted(tuple(told["languages"]), tuple(told["classes"]))
    while (line := read_message(sys.stdin.buffer)) is not None:
        block = read_message(sys.stdin.buffer) or b""
        found = extract(block, wanted, int(line))
        answer = {"columns": found.columns, "texts": found.texts, "left": found.left.as_json(), "newest": found.newest}
        write_message(sys.stdout.buffer, _ENCODE(answer).encode())


def write_message(stream: IO[bytes], message: bytes) -> None:
    """Sends bytes with their length."""
    stream.write(len(message).to_bytes(_SIZE, "little"))
    stream.write(message)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes | None:
    """What `write_message` sent; None where the stream has ended."""
    size = stream.read(_SIZE)
    if len(size) < _SIZE:
        return None
    message = stream.read(int.from_bytes(size, "little"))
    return message if len(message) == int.from_bytes(size, "little") else None
