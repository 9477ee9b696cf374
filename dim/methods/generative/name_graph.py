"""The prefix tree of names as two arrays on a device, so that all beams go down it at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NameGraph:
    """The nodes of a prefix tree, breadth first: the root is the first, and the children of a node stand side by side.

    Where a name ends, a node with the end token stands; nothing stands behind it. Eight bytes a node.

    Attributes:
        tokens: [n] int32, what each node adds to its prefix.
        firsts: [n + 1] int32, the first child of each node; the last is the one before the next node's first.
    """

    tokens: Tensor
    firsts: Tensor

    @classmethod
    def of_sorted(cls, tokens: NDArray[np.integer], lengths: NDArray[np.integer], end: int) -> NameGraph:
        """The tree of names in lexicographic order, each once, a shorter one before those that continue it.

        Args:
            tokens: [m] all names, one after the other, without end tokens.
            lengths: [n] tokens of each.
            end: The end token.
        """
        lengths = lengths.astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        names, parents = np.arange(len(lengths)), np.zeros(len(lengths), np.int64)
        levels, counts, num_parents = [np.array([end])], [], 1
        for depth in range(int(lengths.max(initial=0)) + 1):
            goes_on = lengths[names] > depth
            column = np.full(len(names), end, np.int64)
            column[goes_on] = tokens[starts[names[goes_on]] + depth]
            is_new = np.ones(len(names), bool)
            is_new[1:] = (parents[1:] != parents[:-1]) | (column[1:] != column[:-1])
            levels.append(column[is_new])
            counts.append(np.bincount(parents[is_new], minlength=num_parents))
            num_parents = len(levels[-1])
            names, parents = names[goes_on], (np.cumsum(is_new) - 1)[goes_on]
        children = np.concatenate([*counts, np.zeros(num_parents, np.int64)])
        firsts = np.concatenate([[1], 1 + np.cumsum(children)])
        return cls(*(torch.from_numpy(array.astype(np.int32)) for array in (np.concatenate(levels), firsts)))

    @classmethod
    def of(cls, names: Iterable[Sequence[int]], end: int) -> NameGraph:
        """The tree of a few names, in any order."""
        listed = sorted(set(map(tuple, names)))
        flat = np.array([token for name in listed for token in name], np.int64)
        return cls.of_sorted(flat, np.array([len(name) for name in listed], np.int64), end)

    def __len__(self) -> int:
        """Nodes."""
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.tokens.nbytes + self.firsts.nbytes

    @property
    def nothing(self) -> int:
        """A node that nothing follows: the last one is an end."""
        return len(self) - 1

    def to(self, device: torch.device) -> NameGraph:
        """The same on a device."""
        return NameGraph(self.tokens.to(device), self.firsts.to(device))

    def children(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """What follows on each node.

        Args:
            nodes: [n] int64.

        Returns:
            Tokens [n, widest] int64, -1 behind the last one, and the nodes [n, widest] int64 that they lead to.
        """
        firsts, lasts = self.firsts[nodes].long(), self.firsts[nodes + 1].long()
        places = torch.arange(int((lasts - firsts).max().clamp_min(1)), device=nodes.device)
        found = firsts[:, None] + places
        is_none = found >= lasts[:, None]
        found = found.masked_fill(is_none, self.nothing)
        return self.tokens[found].long().masked_fill(is_none, -1), found
