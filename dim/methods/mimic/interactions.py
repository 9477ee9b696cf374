"""MIMIC's scores of mentions with a KB, some entities at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dim.methods.mimic.entity_cache import EntityCache
from dim.methods.mimic.matcher import Matcher
from dim.methods.mimic.parts import MentionParts
from dim.search.scores import SLICE, Scores

TOGETHER = 4  #: Mentions that are compared with some entities at once: half the time of one at a time.


def joint(by_unit: dict[str, Tensor]) -> Tensor:
    """The mean [m, n] of the units' scores: what a pair's score is."""
    return torch.stack(list(by_unit.values())).mean(0)


class Interactions(Scores):
    """The joint scores of mentions with entities of caches.

    Mentions of like length are compared `TOGETHER`, always the same ones.

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
        self.matcher, self.caches, self.rows, self.mentions = matcher, caches, rows, mentions
        self._groups = list(mentions.lengths.argsort(stable=True).split(TOGETHER)) if len(mentions) else []
        self._whole: Tensor | None = None

    def held(self) -> Scores:
        """Itself: where the KB is one slice its scores are computed when they are asked for, and held from then on.

        Of a few candidates alone they never are.
        """
        return self

    def of(self, entities: slice) -> Tensor:
        """Scores [B, stop - start]."""
        if self.num_entities > SLICE:
            return self._scores(self.rows[entities], self._groups)
        if self._whole is None:
            self._whole = self._scores(self.rows, self._groups)
        return self._whole[:, entities]

    def of_some(self, entities: slice, mentions: Tensor) -> Tensor:
        """The same of some mentions, and of those that are compared with them."""
        if self.num_entities <= SLICE:
            return self.of(entities)[mentions]
        is_wanted = torch.zeros(self.num_mentions, dtype=torch.bool, device=mentions.device)
        is_wanted[mentions] = True
        groups = [group for group in self._groups if is_wanted[group.to(mentions.device)].any()]
        return self._scores(self.rows[entities], groups)[mentions]

    def at(self, entities: Tensor) -> Tensor:
        """Scores [B, n] of the pairs alone, unless all are held; they differ by the rounding of sums."""
        if self._whole is not None:
            return self._whole.gather(1, entities)
        places = torch.arange(self.num_mentions, device=self.mentions.lengths.device).split(1)
        found = [self._scores(self.rows[own], [one])[one] for own, one in zip(entities.cpu(), places, strict=True)]
        return torch.cat(found) if found else torch.zeros(entities.shape, device=entities.device)

    @torch.no_grad()
    def _scores(self, rows: Tensor, groups: Sequence[Tensor]) -> Tensor:
        """Scores [B, n] of the mentions of these groups; zeros of others."""
        scores, first = torch.zeros(self.num_mentions, len(rows), device=self.caches[0].device), 0
        mentions = [self.mentions.some(group) for group in groups]
        for cache in self.caches:
            here = ((rows >= first) & (rows < first + len(cache))).nonzero().flatten()
            for places, parts in cache.read(rows[here] - first):  # they become float32 once for all mentions
                columns = here[places].to(scores.device)
                for group, asked in zip(groups, mentions, strict=True):
                    scores[group[:, None], columns] = joint(self.matcher(asked, parts))
            first += len(cache)
        return scores
