"""The facts of a KB's entities in files, which whoever opens them maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dim.core.arrays import Rows
from dim.core.folder_files import read_array, write_arrays
from dim.core.mapped import dropped
from dim.core.sealed import REMEDY, open_sealed, sealed_folder
from dim.errors import DataError
from dim.reranker.columns import Column
from dim.reranker.entities import NO_WORD, EntityFacts
from dim.reranker.known_words import KnownWords, write_words
from dim.reranker.words import Vocabulary

CONTENT, FORMAT_VERSION = "entity facts", 1
VOCABULARIES = ("vocabulary", "stems", "strings")


def save_facts(facts: EntityFacts, folder: Path) -> None:
    """Writes them; a process that is killed meanwhile leaves what was there before."""
    with sealed_folder(folder, CONTENT, FORMAT_VERSION, {"count": facts.size}) as place:
        for name in VOCABULARIES:
            write_words(getattr(facts, name), place, name)
        write_arrays(place, {name: column.values for name, column in _columns(facts).items()})


def load_facts(folder: Path, size: int, rows: Rows) -> EntityFacts:
    """Those that were saved, on their files: what changes is copied, a page at a time.

    Args:
        folder: Of `save_facts`.
        size: How many rows there are.
        rows: [n], those that have an entity.

    Raises:
        DataError: There are none, damaged ones, or those of another KB.
    """
    open_sealed(folder, CONTENT, FORMAT_VERSION)
    what = f"{CONTENT} in {folder}"
    facts = EntityFacts()
    try:
        for name in VOCABULARIES:
            setattr(facts, name, Vocabulary(KnownWords.load(folder, name, what, REMEDY)))
        for name, column in _columns(facts).items():
            kind = column.dtype
            held = read_array(folder / f"{name}.npy", what, REMEDY, kind.kind, 1, "c")
            if held.dtype != kind:
                raise ValueError(f"{name} of {held.dtype}")
            column.hold(held)
        _check(facts, size)
        facts.is_there.hold(np.zeros(size, np.bool_))
        facts.is_there[rows] = True
    except ValueError as error:
        raise DataError(f"{what} of {size:,} rows", f"damaged arrays ({error})", REMEDY) from error
    for column in _columns(facts).values():
        dropped(column.values)
    return facts


def _columns(facts: EntityFacts) -> dict[str, Column[Any]]:
    of_lists = {
        f"{name}_{part}": column for name, (lists, _) in facts.lists.items() for part, column in lists.columns.items()
    }
    return of_lists | facts.row_columns | facts.counts


def _check(facts: EntityFacts, size: int) -> None:
    """Raises ValueError where a row or a word is named that is not there."""
    sizes = {*(len(lists) for lists, _ in facts.lists.values()), *map(len, facts.row_columns.values())}
    if sizes != {size}:
        raise ValueError("rows of another number")
    for lists, vocabulary in facts.lists.values():
        lists.check(len(vocabulary))
    for name, least, vocabulary in (
        ("short_names", 0, facts.strings),
        ("first_words", NO_WORD, facts.vocabulary),
        ("last_words", NO_WORD, facts.vocabulary),
    ):
        values = facts.row_columns[name].values
        if values.min(initial=least) < least or values.max(initial=least) >= len(vocabulary):
            raise ValueError(f"{name} that are not there")
    # One more than the last words: the first is of those who have none.
    needed = {"with_word": 0, "with_stem": 0, "bearers": len(facts.strings), "surnames": 0}
    needed["surnames"] = int(facts.last_words.values.max(initial=NO_WORD)) + 2
    if any(len(facts.counts[name]) < least for name, least in needed.items()):
        raise ValueError("counts of too few words")
