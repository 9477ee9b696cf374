"""Scores of mentions with a KB that are never there all at once: a slice of the KB is scored after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BATCH = 256  #: Mentions that are scored at once.
SLICE = 65_536  #: Entities that are scored at once: with a batch of mentions 64 MiB of scores.
PAIR_CELLS = 2**24  # numbers of the entities' vectors that are gathered at once: 64 MiB


class Scores(ABC):
    """The scores of a batch of mentions with a KB, computed where they are asked for.

    A method whose scores are dot products gives `Products`; one whose KB is small enough for [B, num_entities] gives
    the tensor (`scores_by_slice`). Another one derives its own from this.

    Args:
        num_mentions: B.
        num_entities: Of the KB.
    """

    def __init__(self, num_mentions: int, num_entities: int) -> None:
        self.num_mentions, self.num_entities = num_mentions, num_entities

    @abstractmethod
    def of(self, entities: slice) -> Tensor:
        """Scores [B, stop - start], float, of the KB rows from `start` to `stop`; the caller does not write in them."""

    def of_some(self, entities: slice, mentions: Tensor) -> Tensor:
        """The same of some mentions of the batch, by their places [b]: to the last digit what `of` gives.

        Overridden where a mention's scores do not depend on which others are computed with it.
        """
        return self.of(entities)[mentions]

    def at(self, entities: Tensor) -> Tensor:
        """Scores [B, n] of each mention with KB rows of its own [B, n]."""
        found = torch.zeros(entities.shape, device=entities.device)
        for part in self.slices():
            is_here = (entities >= part.start) & (entities < part.stop)
            if is_here.any():
                values = self.of(part).gather(1, (entities - part.start).clamp(0, part.stop - part.start - 1))
                found = torch.where(is_here, values, found)
        return found

    @property
    def at_once(self) -> int:
        """Entities of a slice, at most."""
        return SLICE

    def slices(self) -> Iterator[slice]:
        """The slices of the KB, in its order, of at most `at_once` entities each."""
        for start in range(0, max(1, self.num_entities), self.at_once):
            yield slice(start, min(start + self.at_once, self.num_entities))

    def held(self) -> Scores:
        """The same, computed once and held in memory where the KB is one slice."""
        return self if self.num_entities > SLICE else HeldScores(self.whole())

    def whole(self) -> Tensor:
        """All scores [B, num_entities]: for a KB, or a batch, that is known to be small."""
        return self.of(slice(0, self.num_entities))


class HeldScores(Scores):
    """Scores that are in memory.

    Args:
        scores: [B, num_entities], float.
    """

    def __init__(self, scores: Tensor) -> None:
        super().__init__(*scores.shape)
        self.scores = scores

    def of(self, entities: slice) -> Tensor:
        """A view of them."""
        return self.scores[:, entities]

    def at(self, entities: Tensor) -> Tensor:
        """Some columns of them."""
        return self.scores.gather(1, entities)

    def held(self) -> HeldScores:
        """Itself."""
        return self


class Products(Scores):
    """Dot products of the mentions' vectors with those of the KB.

    Args:
        queries: [B, width].
        vectors: [num_entities, width], on the same device.
    """

    def __init__(self, queries: Tensor, vectors: Tensor) -> None:
        super().__init__(len(queries), len(vectors))
        self.queries, self.vectors = queries, vectors

    def of(self, entities: slice) -> Tensor:
        """A matrix product."""
        return self.queries @ self.vectors[entities].T

    def at(self, entities: Tensor) -> Tensor:
        """Scores [B, n] of the pairs alone; they differ from those of a slice by the rounding of a sum."""
        width = max(1, PAIR_CELLS // max(1, self.queries.numel()))
        # Sums, not a product of matrices: a pair's score is the same wherever it stands.
        parts = [(self.vectors[part] * self.queries[:, None]).sum(2) for part in entities.split(width, dim=1)]
        return torch.cat(parts, dim=1)


class Summed(Scores):
    """The sums of scores of the same mentions with the same KB.

    Args:
        parts: At least one, on one device.
    """

    def __init__(self, *parts: Scores) -> None:
        super().__init__(parts[0].num_mentions, parts[0].num_entities)
        self.parts = parts

    def of(self, entities: slice) -> Tensor:
        """The sum of what each part gives."""
        return reduce(torch.add, (part.of(entities) for part in self.parts))

    def of_some(self, entities: slice, mentions: Tensor) -> Tensor:
        """The same."""
        return reduce(torch.add, (part.of_some(entities, mentions) for part in self.parts))

    def at(self, entities: Tensor) -> Tensor:
        """The same."""
        return reduce(torch.add, (part.at(entities) for part in self.parts))


def scores_by_slice(scores: Scores | Tensor) -> Scores:
    """Scores as they are, or those of a tensor [B, num_entities].

    Example:
        >>> scores_by_slice(torch.tensor([[0.1, 0.9, 0.5]])).of(slice(1, 3))
        tensor([[0.9000, 0.5000]])
    """
    return scores if isinstance(scores, Scores) else HeldScores(scores)


def scores_at(
    scores: Scores, lists: Sequence[NDArray[np.int64]], device: torch.device | str = "cpu"
) -> list[NDArray[np.float32]]:
    """The scores of each mention with KB rows of its own, a list each, beside them.

    Args:
        scores: Of n mentions.
        lists: n lists of KB rows.
        device: Where the scores are computed.

    Example:
        >>> scores = HeldScores(torch.tensor([[0.5, 0.25], [0.0, 1.0]]))
        >>> [found.tolist() for found in scores_at(scores, [np.array([1, 0]), np.array([1])])]
        [[0.25, 0.5], [1.0]]
    """
    table = np.zeros((len(lists), max(map(len, lists), default=0)), dtype=np.int64)
    for place, rows in enumerate(lists):
        table[place, : len(rows)] = rows
    found = scores.at(torch.from_numpy(table).to(device)).float().cpu().numpy()
    return [values[: len(rows)] for values, rows in zip(found, lists, strict=True)]
