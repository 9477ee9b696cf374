"""The files of an index of names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.folder_files import read_array, read_json
from dim.core.mapped import dropped
from dim.core.sealed import REMEDY
from dim.errors import DataError
from dim.search.postings import Postings

CONTENT, FORMAT_VERSION = "name index", 2
OLDER = (1,)  #: Formats with a weight a posting, and the n-grams as JSON.
NGRAM = "<U4"  #: Of the longest n-gram.
MOST_ALIASES, MOST_STRINGS = 100_000, 100  #: Of an entity; and for each entity and posting.
BLOCK = 2**22  #: Postings that are looked at together.


@dataclass(frozen=True)
class NameArrays:
    """What is saved.

    Attributes:
        ngrams: [num_ngrams], ascending.
        idf: [num_ngrams] float32.
        postings: Of all strings.
        counts: [num_rows], the strings of each entity.
        live: [num_rows], whether it is there.
    """

    ngrams: NDArray[np.str_]
    idf: NDArray[np.float32]
    postings: Postings
    counts: NDArray[np.int64]
    live: NDArray[np.bool_]


def write_names(folder: Path, names: NameArrays) -> None:
    """Writes them into a folder."""
    arrays = {name: getattr(names, name) for name in ("ngrams", "idf", "counts", "live")}
    arrays |= {name: getattr(names.postings, name) for name in ("starts", "strings", "repeated", "factors", "lengths")}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def read_names(folder: Path, version: int) -> NameArrays:
    """Those that were written, by this version or an older one; the postings stay on the disk.

    Raises:
        DataError: They do not fit each other.
    """
    what = f"a {CONTENT} in {folder}"

    def array(name: str, kind: str, is_mapped: bool = False) -> NDArray[Any]:
        return read_array(folder / f"{name}.npy", what, REMEDY, kind, 1, "r" if is_mapped else None)

    idf, starts, counts, live = (
        array(*each) for each in (("idf", "f"), ("starts", "i"), ("counts", "i"), ("live", "b"))
    )
    strings = array("strings", "i", is_mapped=True)
    if version == FORMAT_VERSION:
        ngrams, weights = array("ngrams", "U"), None
    else:
        ngrams = np.array(read_json(folder / "ngrams.json", list[str], what, REMEDY) or [""], NGRAM)
        weights = array("weights", "f")
    try:
        is_fit = ngrams.dtype == NGRAM and len(ngrams) == len(idf) == len(starts) - 1 and len(counts) == len(live)
        is_bounded = 1 <= counts.min(initial=1) <= counts.max(initial=1) <= MOST_ALIASES
        # Only strings that were added later have no posting.
        num_strings = int(counts.sum())
        if not is_fit or not is_bounded or num_strings > MOST_STRINGS * (len(counts) + len(strings)):
            raise ValueError("arrays of lengths that do not fit")
        if not (ngrams[1:] > ngrams[:-1]).all():
            raise ValueError("n-grams in another order")
        _check_lists(starts, strings, num_strings)
        if weights is not None:
            postings = _of_weights(starts, strings, weights, idf, num_strings)
        else:
            postings = Postings(starts, strings, array("repeated", "i"), array("factors", "f"), array("lengths", "f"))
            _check_factors(postings, num_strings)
    except (ValueError, OverflowError) as error:
        raise DataError(what, f"damaged arrays ({error})", REMEDY) from error
    return NameArrays(ngrams, idf, postings, counts.astype(np.int64, copy=False), live)


def _check_lists(starts: NDArray[Any], strings: NDArray[Any], num_strings: int) -> None:
    """Raises ValueError where a list does not ascend, or names a string that is not there."""
    if starts[0] != 0 or starts[-1] != len(strings) or (starts[1:] < starts[:-1]).any():
        raise ValueError("lists that do not follow one another")
    for start in range(0, len(strings), BLOCK):
        block = strings[start : start + BLOCK + 1]
        begins = starts[np.searchsorted(starts, start + 1) : np.searchsorted(starts, start + len(block))] - start
        descends = block[1:] <= block[:-1]
        descends[begins - 1] = False
        if descends.any() or block.min() < 0 or block.max() >= num_strings:
            raise ValueError("strings that are not there, or in another order")
    dropped(strings)


def _check_factors(postings: Postings, num_strings: int) -> None:
    repeated = postings.repeated
    is_placed = len(repeated) == len(postings.factors) and (repeated[1:] > repeated[:-1]).all()
    if len(repeated) and not 0 <= repeated[0] <= repeated[-1] < len(postings.strings):
        is_placed = False
    if not is_placed or len(postings.lengths) != num_strings or not (postings.lengths > 0).all():
        raise ValueError("factors or lengths that do not fit")


def _of_weights(
    starts: NDArray[Any], strings: NDArray[Any], weights: NDArray[Any], idf: NDArray[Any], num_strings: int
) -> Postings:
    """The postings of an older format, which has the weight of each: `idf · factor / length`."""
    if len(weights) != len(strings) or not (idf > 0).all() or not (weights > 0).all():
        raise ValueError("weights that do not fit")
    shares = weights.astype(np.float64) / np.repeat(idf, np.diff(starts))
    least = np.full(num_strings, np.inf)
    np.minimum.at(least, strings, shares)  # of the n-grams that it has least often: once, or as good as that
    factors = (shares / least[strings]).astype(np.float32)
    repeated = np.flatnonzero(factors > 1 + 1e-4)
    lengths = np.where(np.isfinite(least), 1 / least, 1).astype(np.float32)
    return Postings(starts.astype(np.int64), strings, repeated, factors[repeated], lengths)
