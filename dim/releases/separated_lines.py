"""Lines split by `@@@@`: entity texts and entity image URLs of WikiDiverse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from dim.data.files import clean_text, open_text
from dim.data.skipped import Skipped

SEPARATOR = "@@@@"
_MALFORMED = "lines without an entity and '@@@@'"


def read_pairs(path: Path, skipped: Skipped) -> Iterator[tuple[str, str]]:
    """The entity and what stands behind the first `@@@@`, of each line; blank lines are nothing.

    Args:
        path: The file.
        skipped: Counts the lines that are no pair.

    Raises:
        DataError: The file is unreadable or not in UTF-8.
    """
    # A lone carriage return inside a text must not end the line.
    with open_text(path, newline="\n") as file:
        for number, line in enumerate(file, start=1):
            name, separator, value = clean_text(line).partition(SEPARATOR)
            if separator and name.strip():
                yield name.strip(), value.strip()
            elif line.strip():
                skipped.add(_MALFORMED, f"{path.name} line {number}")


def malformed_notes(skipped: Skipped) -> list[str]:
    """What `read_pairs` left out, as notes."""
    return [
        f"{reason}: {count:,} left out; first: {'; '.join(skipped.examples[reason])}"
        for reason, count in skipped.counts.items()
    ]


def split_urls(value: str) -> list[str]:
    """The image URLs of a field: a JSON array (of URLs, or of URL and caption), or URLs with `[AND]` or spaces between.

    Example:
        >>> split_urls("https://a/1.jpg[AND]https://a/2.jpg"), split_urls('[["https://a/1.jpg", "caption"]]')
        (['https://a/1.jpg', 'https://a/2.jpg'], ['https://a/1.jpg'])
    """
    try:
        items = json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        items = re.split(r"\[AND\]|@@@@|\s+", value)
    items = items if isinstance(items, list) else [items]
    urls = [item[0] if isinstance(item, list) and item else item for item in items]
    return list(dict.fromkeys(url.strip() for url in urls if isinstance(url, str) and url.strip()))
