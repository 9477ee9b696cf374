"""MIMIC's scores of mentions with a KB, some entities at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dim.methods.mimic.entity_cache import EntityCache
from dim.methods.mimic.matcher import Matcher
from dim.methods.mimic.parts import MentionParts
from dim.search.scores import Scores


def joint(by_unit: dict[str, Tensor]) -> Tensor:
    """The mean [m, n] of the units' scores: what a pair's score is."""
    return torch.stack(list(by_unit.values())).mean(0)


class Interactions(Scores):
    """The joint scores of mentions with entities of caches. What a mention gets hangs on no other mention.

    Args:
        matcher: The network.
        mentions: The mentions' parts.
        caches: The entities', at least one, on one device; their rows are counted through.
        rows: [n] int64, on the CPU, the rows that are compared; None: all.
    """

    def __init__(
        self, matcher: Matcher, mentions: MentionParts, caches: Sequence[EntityCache], rows: Tensor | None = None
    ) -> None:
        rows = torch.arange(sum(map(len, caches))) if rows is None else rows
        super().__init__(len(mentions), len(rows))
        self.matcher, self.caches, self.rows = matcher, caches, rows
        self._mentions = [mentions.one(place) for place in range(len(mentions))]

    def of(self, entities: slice) -> Tensor:
        """Scores [B, stop - start]."""
        return self._scores(self.rows[entities], range(self.num_mentions))

    def of_some(self, entities: slice, mentions: Tensor) -> Tensor:
        """The same of some mentions alone."""
        return self._scores(self.rows[entities], mentions.tolist())

    def at(self, entities: Tensor) -> Tensor:
        """Scores [B, n] of the pairs alone; they differ from those of a slice by the rounding of sums."""
        found = [self._scores(self.rows[own], [place]) for place, own in enumerate(entities.cpu())]
        return torch.cat(found) if found else torch.zeros(entities.shape, device=entities.device)

    @torch.no_grad()
    def _scores(self, rows: Tensor, mentions: Sequence[int]) -> Tensor:
        scores, first = torch.zeros(len(mentions), len(rows), device=self.caches[0].device), 0
        for cache in self.caches:
            here = ((rows >= first) & (rows < first + len(cache))).nonzero().flatten()
            for places, parts in cache.read(rows[here] - first):  # they become float32 once for all mentions
                columns = here[places].to(scores.device)
                for place, mention in enumerate(mentions):
                    scores[place, columns] = joint(self.matcher(self._mentions[mention], parts))[0]
            first += len(cache)
        return scores
