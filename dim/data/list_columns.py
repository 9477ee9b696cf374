"""Columns whose cells hold several values, and what separates them in a user's table."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from dim.data.table_files import list_cell
from dim.images.regions import split_region

_CHARACTER = re.compile(r"&#?\w+;")  # `&amp;`: here `;` separates nothing


def list_column(
    cells: Sequence[Any],
    what: str,
    separator: str | None = None,
    doubtful: str = ",/",
    advice: str = "--list_separator '{}'",
) -> tuple[list[list[str]], list[str]]:
    """The values of each cell, and notes on what separates them.

    Arrays, `|` and line breaks are always read. Where no cell has a `|`, `;` separates; commas and slashes stand in
    names too (`Smith, John`, `AC/DC`), so a note tells how to say that they separate.

    Args:
        cells: The column.
        what: Its name and table, for the notes.
        separator: What separates the values, where the user says so.
        doubtful: The marks that a note is worth.
        advice: How the caller says what separates them, `{}` the mark.

    Example:
        >>> list_column(["Bob; Rob", "Ann"], "aliases of entities.csv")[0]
        [['Bob', 'Rob'], ['Ann']]
        >>> list_column(["a.png#xywh=1,2,3,4", "b.png"], "image of mentions.csv")
        ([['a.png#xywh=1,2,3,4'], ['b.png']], [])
    """
    texts = [cell for cell in cells if isinstance(cell, str) and not cell.lstrip().startswith("[")]
    if separator is not None or any("|" in text for text in texts):
        return [list_cell(cell, separator or "|") for cell in cells], []
    # The commas of a region (`#xywh=1,2,3,4`) separate nothing.
    counts = {
        mark: [text.strip() for text in texts if mark in split_region(text.strip())[0]] for mark in f";{doubtful}"
    }
    if counts[";"] and not any(map(_CHARACTER.search, texts)):
        note = f"{what}: ';' was read as a separator, in {len(counts[';']):,} cells; {advice.format('|')} undoes it"
        return [list_cell(cell, ";") for cell in cells], [note]
    notes = [
        f"{what}: {len(held):,} cells hold '{mark}', such as '{held[0][:60]}', and were kept as one value each; "
        f"if it separates values: {advice.format(mark)}"
        for mark, held in counts.items()
        if held
    ]
    return [list_cell(cell) for cell in cells], notes


def list_ids(
    cells: Sequence[Any], known: Collection[str], what: str, separator: str | None = None
) -> tuple[list[list[str]], list[str]]:
    """The ids of each cell, cut at what gives most of the known ids, and a note where that is not `|`.

    Example:
        >>> list_ids(["Q1, Q2", "Q3"], {"Q1", "Q2", "Q3"}, "candidates of mentions.csv")[0]
        [['Q1', 'Q2'], ['Q3']]
    """
    if separator is not None:
        return [list_cell(cell, separator) for cell in cells], []
    cut = {mark: [list_cell(cell, mark) for cell in cells] for mark in "|;, /"}
    best = max(cut, key=lambda mark: sum(one in known for ids in cut[mark] for one in ids))
    return cut[best], [] if best == "|" else [f"{what}: '{best}' was read as the separator"]
