"""A prefix tree that is nothing but the sorted list of its names' tokens: a node is a range of names.

No node and no edge is stored: `NameGraph` makes them of it. A name takes its tokens, one byte for its length, a share
of the mark that says where its block starts, and four bytes for its row of the KB.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dim.core.files import content_hash
from dim.evaluation.protocols import NIL_ROW
from dim.methods.generative.name_graph import NameGraph

BLOCK = 64  #: Names that share a mark.

Integers = NDArray[np.int64]


class Tokens(NamedTuple):
    """Sequences of tokens, one after the other, each with one row of the KB.

    Attributes:
        flat: int64, all tokens.
        lengths: [n] int64, tokens of each sequence, at least 1.
        rows: [n] int64, KB rows or NIL_ROW. A sequence with several rows stands here several times.
    """

    flat: Integers
    lengths: Integers
    rows: Integers

    def join(self, other: Tokens) -> Tokens:
        """These and the others."""
        return Tokens(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


@dataclass
class SortedNames:
    """Distinct sequences of tokens in lexicographic order, a shorter one before those that continue it.

    Attributes:
        tokens: uint16 or uint32, all sequences one after the other.
        lengths: [n] uint8 or uint16, tokens of each.
        marks: [n / BLOCK, rounded up] uint64, where the first sequence of each block starts in `tokens`.
        rows: [n] int32, the one KB row of each, or NIL_ROW; from -3 down, -3 - i for the i-th of those with several.
        several_starts: [m + 1] int64, where the rows of each name with several start in `several_rows`.
        several_rows: int32, those rows.
    """

    tokens: NDArray[Any]
    lengths: NDArray[Any]
    marks: NDArray[np.uint64]
    rows: NDArray[np.int32]
    several_starts: Integers
    several_rows: NDArray[np.int32]

    def __post_init__(self) -> None:
        self._graphs: dict[tuple[int, torch.device], NameGraph] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is to be saved, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def hash(self) -> str:
        """Of the content."""
        return content_hash(
            *(part for name, array in self.arrays.items() for part in (name, array.dtype.str, array.tobytes()))
        )

    def graph(self, end: int, device: torch.device) -> NameGraph:
        """The prefix tree with the end token after each name, on a device; made once."""
        if (end, device) not in self._graphs:
            self._graphs[end, device] = NameGraph.of_sorted(self.tokens, self.lengths, end).to(device)
        return self._graphs[end, device]

    def name(self, place: int) -> tuple[int, ...]:
        """The tokens of one name."""
        first = place - place % BLOCK
        start = int(self.marks[first // BLOCK]) + int(self.lengths[first:place].sum(dtype=np.int64))
        return tuple(self.tokens[start : start + int(self.lengths[place])].tolist())

    def find(self, tokens: Sequence[int]) -> int | None:
        """The place of a name; None where there is none."""
        wanted = tuple(map(int, tokens))
        place = bisect_left(range(len(self)), wanted, key=self.name)
        return place if place < len(self) and self.name(place) == wanted else None

    def rows_at(self, name: int) -> NDArray[np.int32]:
        """The KB rows of a name, ascending."""
        code = int(self.rows[name])
        if code >= NIL_ROW:
            return self.rows[name : name + 1]
        first, last = self.several_starts[NIL_ROW - 1 - code : NIL_ROW - 1 - code + 2]
        return self.several_rows[first:last]

    def pairs(self) -> Tokens:
        """All sequences, each as often as it has rows."""
        counts, low = np.ones(len(self), dtype=np.int64), NIL_ROW - 1
        several = np.flatnonzero(self.rows <= low)
        counts[several] = np.diff(self.several_starts)[low - self.rows[several]]
        owner = np.repeat(np.arange(len(self)), counts)
        rows = self.rows[owner].astype(np.int64)
        # The codes of names with several rows go down as the names go up, so their rows stand in the names' order.
        rows[rows <= low] = self.several_rows
        lengths = self.lengths.astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        lengths = lengths[owner]
        places = np.repeat(starts[owner] - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
        return Tokens(self.tokens[places].astype(np.int64), lengths, rows)


def sort_names(names: Tokens, vocab_size: int) -> SortedNames:
    """The sequences in order, each once, with the rows of all its repetitions.

    Args:
        names: In any order, with any repetition; at least one.
        vocab_size: Tokens are smaller; it decides their type.
    """
    dtype = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    width = int(names.lengths.max())
    mask = np.arange(width) < names.lengths[:, None]
    padded = np.zeros((width, len(names.lengths)), dtype=dtype).T  # its columns are contiguous, for the sort
    padded[mask] = names.flat
    # Padding may be taken for token 0; the length, the next key, puts the shorter name first all the same.
    order = np.lexsort((names.rows, names.lengths, *padded.T[::-1]))
    padded, mask, lengths, rows = padded[order], mask[order], names.lengths[order], names.rows[order]
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = (lengths[1:] != lengths[:-1]) | (padded[1:] != padded[:-1]).any(axis=1)
    codes, several_starts, several_rows = _row_codes(rows, np.cumsum(is_new) - 1)
    padded, mask, lengths = padded[is_new], mask[is_new], lengths[is_new]
    starts = np.cumsum(lengths) - lengths
    return SortedNames(
        tokens=padded[mask],
        lengths=lengths.astype(np.uint8 if width < 1 << 8 else np.uint16 if width < 1 << 16 else np.uint32),
        marks=starts[::BLOCK].astype(np.uint64),
        rows=codes,
        several_starts=several_starts,
        several_rows=several_rows,
    )


def _row_codes(rows: Integers, name: Integers) -> tuple[NDArray[np.int32], Integers, NDArray[np.int32]]:
    """Rows of names, both ascending, to one code a name and the rows of those with several."""
    is_new = np.ones(len(rows), dtype=bool)
    is_new[1:] = (rows[1:] != rows[:-1]) | (name[1:] != name[:-1])
    rows, name = rows[is_new], name[is_new]
    firsts = np.flatnonzero(np.diff(name, prepend=-1))
    counts = np.diff(firsts, append=len(rows))
    codes = rows[firsts]
    several = np.flatnonzero(counts > 1)
    codes[several] = NIL_ROW - 1 - np.arange(len(several))
    starts = np.concatenate(([0], np.cumsum(counts[several])))
    return codes.astype(np.int32), starts, rows[np.repeat(counts > 1, counts)].astype(np.int32)
