"""A made-up dump in the shape of Wikidata's: an item a line, four of five of them of no class that is asked for."""

from __future__ import annotations

import bz2
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

SYLLABLES = ("ka", "lo", "mi", "ren", "tus", "vor", "bel", "dan", "os", "ir", "Łu", "né")
LANGUAGES = ("en", "de", "fr", "es", "ja", "ru", "zh", "ar", "sv", "nl")
HUMAN, OTHERS = 5, (16521, 13442814, 4167836, 3305213, 515, 523)
_ENCODERS = [json.JSONEncoder(ensure_ascii=ascii_only, separators=(",", ":")).encode for ascii_only in (False, True)]
_PROPERTIES = ("P21", "P27", "P106", "P569", "P19", "P214", "P227")


def write_dump(path: Path, num_lines: int, human: float = 0.2, seed: int = 0) -> int:
    """Writes a dump, packed as its suffix says, the same for the same arguments; returns its bytes before packing.

    One item in 50 has no label in English, and one line in a thousand is a property.
    """
    size = 0
    with _opened(path) as file:
        for line in _lines(num_lines, human, seed):
            size += file.write(line)
    return size


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(path, "wb", compresslevel=1, mtime=0))
    return cast(IO[bytes], bz2.open(path, "wb", compresslevel=1)) if path.suffix == ".bz2" else path.open("wb")


def _lines(num_lines: int, human: float, seed: int) -> Iterator[bytes]:
    draw = random.Random(seed)
    yield b"[\n"
    for number in range(1, num_lines + 1):
        item = _item(number, human, draw)
        comma = b",\n" if number < num_lines else b"\n"
        yield _ENCODERS[number % 2](item).encode() + comma
    yield b"]\n"


def _item(number: int, human: float, draw: random.Random) -> dict[str, Any]:
    if number % 1000 == 999:
        return {"type": "property", "datatype": "string", "id": f"P{number}", "labels": {}, "claims": {}}
    languages = LANGUAGES[number % 50 == 7 :]
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(2, 4))).title() for _ in range(4)]
    name, about = " ".join(words[:2]), f"{words[2]} of {words[3]}, number {number}"
    kind = HUMAN if draw.random() < human else draw.choice(OTHERS)
    claims = {"P31": [_statement("P31", _entity(kind), number)]}
    claims |= {key: [_statement(key, _entity(draw.randint(1, 10**6)), number)] for key in _PROPERTIES}
    if number % 3 == 0:
        claims["P18"] = [_statement("P18", {"value": f"{name} {number}.jpg", "type": "string"}, number)]
    return {
        "type": "item",
        "id": f"Q{number}",
        "labels": {each: {"language": each, "value": name} for each in languages},
        "descriptions": {each: {"language": each, "value": about} for each in languages},
        "aliases": {"en": [{"language": "en", "value": words[1]}], "de": [{"language": "de", "value": words[0]}]}
        if number % 2
        else [],
        "claims": claims,
        "sitelinks": {
            f"{each}wiki": {"site": f"{each}wiki", "title": name, "badges": []} for each in languages[: number % 9]
        },
        "lastrevid": number,
        "modified": f"2026-0{1 + number % 9}-01T00:00:00Z",
    }


def _entity(number: int) -> dict[str, Any]:
    return {"value": {"entity-type": "item", "numeric-id": number, "id": f"Q{number}"}, "type": "wikibase-entityid"}


def _statement(name: str, value: dict[str, Any], number: int) -> dict[str, Any]:
    snak = {"snaktype": "value", "property": name, "datavalue": value, "datatype": "wikibase-item"}
    return {"mainsnak": snak, "type": "statement", "id": f"Q{number}$x", "rank": "normal"}
