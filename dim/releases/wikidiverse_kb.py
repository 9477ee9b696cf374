"""The entity texts and entity images of WikiDiverse: lines split by `@@@@`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from dim.data.files import clean_text, open_text
from dim.data.skipped import Skipped
from dim.releases.hashed_images import HashedImages
from dim.releases.split_files import find_matching_files
from dim.releases.titles import title_id

SEPARATOR = "@@@@"
_MALFORMED = "lines without an entity and '@@@@'"
TEXT_FILES, IMAGE_FILES = r".*entity2desc.*\.(tsv|txt)", r".*entity2im(g|age).*\.(tsv|txt)"


def read_texts(root: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Entity and text of each line, and notes."""
    malformed = Skipped()
    pairs = [pair for file in find_matching_files(root, TEXT_FILES) for pair in _read_pairs(root / file, malformed)]
    return pairs, _notes(malformed) + ([] if pairs else ["no entity2desc*.tsv: the entities have no text"])


def read_images(root: Path, entity_ids: pd.Series, images: HashedImages) -> tuple[pd.Series, list[str]]:
    """The local image names of each entity, and notes; the file covers more entities than the KB."""
    files = find_matching_files(root, IMAGE_FILES)
    names: dict[str, dict[str, None]] = {entity_id: {} for entity_id in entity_ids}
    malformed = Skipped()
    for file in files:
        for title, urls in _read_pairs(root / file, malformed):
            known = names.get(title_id(title))
            if known is not None:
                known |= dict.fromkeys(name for url in split_urls(urls) for name in images.names(url))
    column = pd.Series([list(names[entity_id]) for entity_id in entity_ids], dtype=object)
    return column, _notes(malformed) + ([] if files else ["no entity2img*.tsv: the entities have no image"])


def _read_pairs(path: Path, skipped: Skipped) -> Iterator[tuple[str, str]]:
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


def _notes(malformed: Skipped) -> list[str]:
    return [
        f"{_MALFORMED}: {count:,} left out; first: {'; '.join(malformed.examples[_MALFORMED])}"
        for count in malformed.counts.values()
    ]


def split_urls(value: str) -> list[str]:
    """The image URLs of a field: a JSON array (of URLs, or of URL and caption), or URLs with `[AND]` or spaces between.

    Example:
        >>> split_urls("https://a/1.jpg[AND]https://a/2.jpg"), split_urls('[["https://a/1.jpg", "caption"]]')
        (['https://a/1.jpg', 'https://a/2.jpg'], ['https://a/1.jpg'])
    """
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        items = re.split(r"\[AND\]|@@@@|\s+", value)
    items = items if isinstance(items, list) else [items]
    urls = [item[0] if isinstance(item, list) and item else item for item in items]
    return list(dict.fromkeys(url.strip() for url in urls if isinstance(url, str) and url.strip()))
