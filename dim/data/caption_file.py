"""Captions that a user has already: a table of mention ids, or of images, and captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dim.core.text_form import one_form
from dim.data.table_files import read_table, text_cell
from dim.errors import DataError

KEYS = ("mention_id", "image")


@dataclass
class GivenCaptions:
    """The captions of a file, laid on a dataset's mentions.

    Attributes:
        by_mention: One caption a mention, in the dataset's order; None where the file has none.
        unknown: Ids or images of the file that the dataset lacks.
        blank: Ids or images whose caption is empty.
        repeated: Ids or images that have another caption further up, which is used.
        notes: How the file was read.
    """

    by_mention: list[str | None]
    unknown: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_captions(path: Path, mentions: pd.DataFrame, encoding: str | None = None) -> GivenCaptions:
    """The captions in a .csv, .jsonl or .parquet with the columns `caption` and `mention_id` or `image`.

    An image is named by its path in the dataset or, where no other image has it, by its file name alone. Of a
    mention with several images, the first that has a caption counts.

    Args:
        path: The table.
        mentions: The dataset's mentions (columns `id` and `images`).
        encoding: Of its text; None: as its first bytes tell, else UTF-8.

    Raises:
        DataError: The table cannot be read, lacks a column, or names nothing that the dataset has.
    """
    columns, rows, notes = read_table(path, encoding, known=(*KEYS, "caption"))
    key = next((key for key in KEYS if key in columns), None)
    if key is None or "caption" not in columns:
        raise DataError(
            f"the columns caption and {' or '.join(KEYS)} in {path}", ", ".join(columns) or "none", "Rename them."
        )
    images = [[str(image) for image in cell] if cell is not None else [] for cell in mentions["images"].tolist()]
    known = _known_images(images) if key == "image" else {mention_id: mention_id for mention_id in mentions["id"]}
    found: dict[str, str] = {}
    given = GivenCaptions([], notes=notes)
    for row in rows:
        name, caption = text_cell(row.get(key)), text_cell(row.get("caption"))
        place = known.get(name)
        if place is None:
            given.unknown.append(name)
        elif not caption:
            given.blank.append(name)
        elif found.setdefault(place, caption) != caption:
            given.repeated.append(name)
    if not found:
        raise DataError(
            f"captions of the dataset's {'images' if key == 'image' else 'mentions'} in {path}",
            f"{len(given.unknown):,} unknown, such as {', '.join(given.unknown[:5]) or '(none)'}; "
            f"{len(given.blank):,} without a caption",
            f"Name them as in mentions.parquet, such as {next(iter(known), '(it has none)')}.",
        )
    given.by_mention = _of_mentions(found, mentions["id"].tolist() if key == "mention_id" else images)
    return given


def _known_images(images: Sequence[Sequence[str]]) -> dict[str, str]:
    """Each name that an image can be called by → its path."""
    paths = sorted({path for of_mention in images for path in of_mention})
    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(Path(path).name, []).append(path)
    named = {name: of[0] for name, of in by_name.items() if len(of) == 1} | {path: path for path in paths}
    return {one_form(name): path for name, path in named.items()}


def _of_mentions(found: dict[str, str], places: Sequence[Any]) -> list[str | None]:
    lists = ([place] if isinstance(place, str) else place for place in places)
    return [next((found[name] for name in names if name in found), None) for names in lists]
