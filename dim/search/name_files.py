"""The files of an index of names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.folder_files import read_array, write_arrays
from dim.core.mapped import dropped
from dim.core.sealed import REMEDY
from dim.errors import DataError
from dim.search.jagged import Jagged
from dim.search.name_counts import NGRAM, Ngrams
from dim.search.name_words import NameWords

CONTENT, FORMAT_VERSION = "name index", 3
MOST_ALIASES = 100_000  #: Of an entity.
LISTS = ("string_words", "word_strings", "word_ngrams", "ngram_words")
KINDS = {"word_times": "u", "ngram_times": "u", "lengths": "f", "reaches": "f", "norms": "f"}


@dataclass(frozen=True)
class NameArrays:
    """What is saved.

    Attributes:
        ngrams: [num_ngrams].
        idf: [num_ngrams] float32.
        strings: All strings.
        counts: [num_rows], the strings of each entity.
        live: [num_rows], whether it is there.
    """

    ngrams: Ngrams
    idf: NDArray[np.float32]
    strings: NameWords
    counts: NDArray[np.int64]
    live: NDArray[np.bool_]


def write_names(folder: Path, names: NameArrays) -> None:
    """Writes them into a folder."""
    arrays = {"ngrams": names.ngrams.texts} | {name: getattr(names, name) for name in ("idf", "counts", "live")}
    arrays |= {name: getattr(names.strings, name) for name in KINDS}
    for name in LISTS:
        lists: Jagged = getattr(names.strings, name)
        arrays |= {name: lists.values, f"{name}_starts": lists.starts}
    write_arrays(folder, arrays)


def read_names(folder: Path) -> NameArrays:
    """Those that were written; what grows with the KB stays on the disk.

    Raises:
        DataError: They do not fit each other.
    """
    counts, live = _array(folder, "counts", "i"), _array(folder, "live", "b")
    texts, idf = _array(folder, "ngrams", "U"), _array(folder, "idf", "f")
    mapped: dict[str, Any] = {name: _array(folder, name, kind, is_mapped=True) for name, kind in KINDS.items()}
    lists: dict[str, Any] = {
        name: Jagged(*(_array(folder, each, "i", is_mapped=True) for each in (f"{name}_starts", name)))
        for name in LISTS
    }
    strings = NameWords(**lists, **mapped)
    try:
        ngrams = _weighed(texts, idf)
        if len(counts) != len(live) or not 1 <= counts.min(initial=1) <= counts.max(initial=1) <= MOST_ALIASES:
            raise ValueError("entities of another number of strings")
        _check(strings, int(counts.sum()), len(ngrams))
    except (ValueError, OverflowError) as error:
        raise DataError(f"a {CONTENT} in {folder}", f"damaged arrays ({error})", REMEDY) from error
    for array in (*mapped.values(), *(part for each in lists.values() for part in (each.starts, each.values))):
        dropped(array)
    return NameArrays(ngrams, idf, strings, counts.astype(np.int64, copy=False), live)


def _array(folder: Path, name: str, kind: str, is_mapped: bool = False) -> NDArray[Any]:
    what = f"a {CONTENT} in {folder}"
    return read_array(folder / f"{name}.npy", what, REMEDY, kind, 1, "r" if is_mapped else None)


def _weighed(texts: NDArray[np.str_], idf: NDArray[np.float32]) -> Ngrams:
    if texts.dtype != NGRAM or not 0 < len(texts) == len(idf):
        raise ValueError("n-grams that do not fit their weights")
    if not (idf > 0).all():
        raise ValueError("weights that none have")
    return Ngrams.of(texts)


def _check(strings: NameWords, num_strings: int, num_ngrams: int) -> None:
    """Raises ValueError where arrays do not fit each other, or a number is none of anything."""
    num_words = len(strings.norms)
    strings.string_words.check(num_strings, num_words)
    strings.word_strings.check(num_words, num_strings)
    strings.word_ngrams.check(num_words, num_ngrams)
    strings.ngram_words.check(num_ngrams, num_words)
    if not len(strings.lengths) == len(strings.reaches) == num_strings:
        raise ValueError("strings of another number")
    if not (strings.string_words.sizes[strings.word_strings.values] > 0).all():
        raise ValueError("words of strings that have none")
    for times, lists in (
        (strings.word_times, strings.word_ngrams), (strings.ngram_times, strings.ngram_words),
    ):  # fmt: skip
        if len(times) != len(lists.values):
            raise ValueError("n-grams of another number")
    for values in (strings.lengths, strings.norms):
        if len(values) and not 0 < values.min() <= values.max() < np.inf:
            raise ValueError("lengths that none have")
    if len(strings.reaches) and not 0 <= strings.reaches.min() <= strings.reaches.max() < np.inf:
        raise ValueError("reaches that none have")
