"""What is to be encoded for a field: each text or image once, in an order that suits the encoder.

Texts stay in Arrow's memory, where a million of them take little more than their bytes; as Python strings with a
dictionary of their positions they would take several times as much.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dim.core.files import hash_parts
from dim.images.found_files import path_on_disk
from dim.images.regions import split_region

#: (path, size, mtime_ns); size -1 where there is no file, mtime_ns -1 where it may not be read
FileState = tuple[str, int, int]
_CHUNK = 4096


class Texts(Sequence[str]):
    """Strings in Arrow's memory, each made into a Python string when it is asked for.

    Args:
        values: Arrow strings.
        order: [n] int64, the position in `values` of each.

    Example:
        >>> texts = Texts(pa.array(["b", "a", "c"]), np.array([1, 0, 2]))
        >>> texts[0], texts[1:], len(texts)
        ('a', ['b', 'c'], 3)
    """

    def __init__(self, values: pa.Array, order: NDArray[np.int64]) -> None:
        self._values, self._order = values, order

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            taken: list[str] = self._values.take(pa.array(self._order[index])).to_pylist()
            return taken
        text: str = self._values[int(self._order[index])].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]


@dataclass(frozen=True)
class Inputs:
    """The inputs of all owners, without duplicates.

    Attributes:
        unique: Texts, longest first, or tuples of image paths, sorted.
        rows: [num_owners] int64, the position in `unique`; -1 where an owner has nothing.
        files: The state of each image file; empty for texts.
        num_around: How many texts were cut around their mention, because it stands behind what the encoder reads.
    """

    unique: Sequence[Any]
    rows: NDArray[np.int64]
    files: Sequence[FileState] = field(default_factory=list)
    num_around: int = 0

    @classmethod
    def of_texts(cls, owners: Sequence[str | None] | pa.ChunkedArray) -> Inputs:
        """Texts (None: nothing), sorted by length: a batch has little padding, and one that is too large fails first.

        Example:
            >>> Inputs.of_texts(["a", None, "ccc", "a"]).rows.tolist()
            [1, -1, 0, 1]
        """
        column = owners if isinstance(owners, pa.ChunkedArray) else pa.chunked_array([pa.array(owners, pa.string())])
        values, codes = _encode(column.cast(pa.large_string()))
        del column, owners  # what the dictionary repeats may go
        keys = pa.table({"length": pc.utf8_length(values), "text": values})
        # Arrow orders strings by their UTF-8 bytes, which is Python's order, by code points.
        order = pc.sort_indices(keys, [("length", "descending"), ("text", "ascending")]).to_numpy().astype(np.int64)
        return cls(Texts(values, order), _places(order)[codes])

    @classmethod
    def of_images(cls, owners: Sequence[tuple[str, ...] | None] | pa.ChunkedArray, root: Path) -> Inputs:
        """Tuples of image paths relative to `root` (None or an empty list: nothing)."""
        column = owners if isinstance(owners, pa.ChunkedArray) else pa.chunked_array([_lists(owners)])
        lists = column.cast(pa.list_(pa.string())).combine_chunks()
        lists = lists if isinstance(lists, pa.Array) else pa.concat_arrays(lists.chunks or [_lists([])])
        is_there = pc.greater(pc.fill_null(pc.list_value_length(lists), 0), 0)
        _, codes = _encode(pa.chunked_array([pc.if_else(is_there, _joined(lists), None)]))
        found, first = np.unique(codes, return_index=True)
        tuples = [tuple(paths) for paths in lists.take(pa.array(first[found >= 0])).to_pylist()]
        order = np.array(sorted(range(len(tuples)), key=tuples.__getitem__), dtype=np.int64)
        unique = [tuples[i] for i in order]
        files = [file_state(root, path) for path in sorted({path for paths in unique for path in paths})]
        return cls(unique, _places(order)[codes], files)

    @cached_property
    def hash(self) -> str:
        """Changes with any input, any image file, and the order of the owners."""
        texts = (value if isinstance(value, str) else json.dumps(value) for value in self.unique)
        return hash_parts(chain(texts, [json.dumps(self.files), self.rows.tobytes()]))


def file_state(root: Path, path: str) -> FileState:
    """What tells that an image file is still the same; `path` may name a region of it."""
    file = path_on_disk(root / split_region(path)[0])
    try:
        status = file.stat()
    except (OSError, ValueError):
        return path, -1, 0
    return path, status.st_size, status.st_mtime_ns if os.access(file, os.R_OK) else -1


def _encode(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """The different values, and for each row the position of its own; -1 for null."""
    if len(column) == 0:
        return pa.array([], column.type), np.empty(0, np.int64)
    encoded = column.dictionary_encode().unify_dictionaries()
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    return encoded.chunk(0).dictionary, np.concatenate(codes).astype(np.int64)


def _places(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each code in the order; the last entry, which -1 picks, is -1."""
    places = np.full(len(order) + 1, -1, np.int64)
    places[order] = np.arange(len(order))
    return places


def _joined(lists: pa.Array) -> pa.Array:
    """A string for each list, different for different lists."""
    if pc.any(pc.match_substring(lists.flatten(), "\0")).as_py():
        return pa.array([json.dumps(paths) for paths in lists.to_pylist()])
    return pc.binary_join(lists, "\0")


def _lists(owners: Sequence[tuple[str, ...] | None]) -> pa.Array:
    return pa.array([None if paths is None else list(paths) for paths in owners], pa.list_(pa.string()))
