"""Where further negatives come from, beside the golds of the other rows of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from dim.errors import ConfigError
from dim.inference.data import LinkingData
from dim.search.exact import Best
from dim.search.lexical import NameIndex
from dim.search.scores import Scores

Score = Callable[[], Sequence[Scores]]


class Negatives(ABC):
    """Draws negative entities for a batch of training mentions."""

    @abstractmethod
    def prepare(self, data: LinkingData, rows: Tensor) -> None:
        """Called once before training with the training rows [n]."""

    def refresh(self, score: Score) -> None:  # noqa: B027 - most sources do not follow the model
        """Called before each epoch; `score()` gives the current scores of the rows with the KB, a batch each."""

    @abstractmethod
    def draw(self, rows: Tensor, gold: Tensor) -> Tensor:
        """KB rows [B * per_row] for mention rows [B] with gold KB rows [B], from torch's global generator."""


class RareWordNegatives(Negatives):
    """One entity a mention whose text shares a rare word with the gold's, as in the DIM release.

    Each entity has its `num_words` words of highest TF-IDF. One of them is drawn, then another entity that has
    it among its own; where there is none, and for the share `random` of the draws, any other entity.

    Args:
        num_words: Words an entity.
        random: Share of random entities.
    """

    def __init__(self, num_words: int = 5, random: float = 0.05) -> None:
        self.num_words, self.random = num_words, random

    def prepare(self, data: LinkingData, rows: Tensor) -> None:
        """Builds the inverted index of rare words."""
        self.data = data
        texts = [text or "" for text in data.texts]
        if not any(texts):
            raise ConfigError(
                "entity texts, whose rare words negatives share",
                "none",
                "Choose other negatives, or --data.entity_text and no --data.leave_out text.",
            )
        weights = TfidfVectorizer(dtype=np.float32).fit_transform(texts)
        self.words = torch.full((len(texts), self.num_words), -1)
        for entity in range(len(texts)):
            row = slice(weights.indptr[entity], weights.indptr[entity + 1])
            best = np.argsort(-weights.data[row], kind="stable")[: self.num_words]
            self.words[entity, : len(best)] = torch.from_numpy(weights.indices[row][best].astype(np.int64))
        pairs = (self.words >= 0).nonzero()
        order = self.words[pairs[:, 0], pairs[:, 1]].argsort(stable=True)
        self.postings = pairs[order, 0]
        self.counts = torch.bincount(self.words[self.words >= 0], minlength=weights.shape[1])
        self.starts = self.counts.cumsum(0) - self.counts

    def draw(self, rows: Tensor, gold: Tensor) -> Tensor:
        """KB rows [B], never a gold of the mention."""
        gold_here, num_entities = gold.cpu(), len(self.words)
        num_words = (self.words[gold_here] >= 0).sum(1)  # they come first in a row, the padding behind them
        word = self.words[gold_here, (torch.rand(len(gold)) * num_words).long()]
        # Of a word's entities, sorted by row, all but the gold: what lies at or behind it moves up by one.
        count = (self.counts[word.clamp_min(0)] - 1) * (word >= 0)
        place = self.starts[word.clamp_min(0)] + (torch.rand(len(gold)) * count).long()
        drawn = torch.where(
            self.postings[place] < gold_here, self.postings[place], self.postings[(place + 1) % len(self.postings)]
        )
        other = (gold_here + 1 + torch.randint(max(1, num_entities - 1), gold_here.shape)) % num_entities
        at_random = (torch.rand(len(gold)) < self.random) | (count == 0)
        found = torch.where(at_random, other, drawn)
        golds = self.data.golds_of(rows.cpu())
        for _ in range(golds.shape[1]):  # in the place of another gold, the next entity that is none
            found = torch.where((golds == found[:, None]).any(1), (found + 1) % num_entities, found)
        return found.to(gold.device)


class RecentNegatives(Negatives):
    """The golds of the last batches, encoded anew: what a larger batch would bring, for the price of its entities.

    A memory of vectors (cross-batch memory, arXiv 1912.06798) would spare the encoding, and be of older weights.

    Args:
        num_batches: Batches back.
    """

    def __init__(self, num_batches: int = 4) -> None:
        self.num_batches = num_batches

    def prepare(self, data: LinkingData, rows: Tensor) -> None:
        """There is nothing to look at."""

    def refresh(self, score: Score) -> None:
        """Starts anew, so that a run goes on as it would have from the end of an epoch."""
        self.recent: deque[Tensor] = deque(maxlen=self.num_batches)

    def draw(self, rows: Tensor, gold: Tensor) -> Tensor:
        """KB rows [up to B * num_batches], each once, none of them of this batch."""
        before = torch.cat([gold[:0], *self.recent]).unique()
        self.recent.append(gold)
        others: Tensor = before[~torch.isin(before, gold)]
        return others


class PooledNegatives(Negatives):
    """Draws from a table of near and wrong entities, one row a training mention.

    Args:
        pool: Entities a mention that are drawn from.
        per_row: Entities drawn a mention.
    """

    def __init__(self, pool: int = 16, per_row: int = 1) -> None:
        self.pool, self.per_row = pool, per_row

    def remember(self, data: LinkingData, rows: Tensor) -> None:
        """Keeps the golds of the training mentions [n] and their places in the table."""
        self.golds = data.golds_of(rows)
        self.places = torch.full((len(data.gold),), -1)
        self.places[rows] = torch.arange(len(rows))

    def fill(self, nearest: Tensor) -> None:
        """Takes the nearest entities [n, wanted] of the training mentions, in order, and leaves out the golds."""
        is_gold = torch.zeros_like(nearest, dtype=torch.bool)
        for own in self.golds.T:  # one at a time: all at once would take as many times the memory
            is_gold |= nearest == own[:, None]
        # Golds go last, and as many as a mention may have are cut off: of one with fewer, the farthest go instead.
        order = is_gold.byte().argsort(dim=1, stable=True)
        self.table = nearest.gather(1, order)[:, : nearest.shape[1] - self.golds.shape[1]]
        if not self.table.shape[1]:
            raise ConfigError(
                "a KB with more entities than a mention has golds",
                f"{nearest.shape[1]} entities",
                "Choose other negatives, or add entities.",
            )

    @property
    def wanted(self) -> int:
        """How many entities `fill` takes a mention, where the KB has so many: the pool beside all golds."""
        return self.pool + self.golds.shape[1]

    def draw(self, rows: Tensor, gold: Tensor) -> Tensor:
        """KB rows [B * per_row]."""
        columns = torch.randint(self.table.shape[1], (len(rows), self.per_row))
        return self.table[self.places[rows.cpu()][:, None], columns].flatten().to(gold.device)


class NameNegatives(PooledNegatives):
    """Entities whose names are most like the mention, by character n-grams.

    Args:
        pool: The most similar names a mention, without the gold, that are drawn from.
        per_row: Entities drawn a mention.
    """

    def prepare(self, data: LinkingData, rows: Tensor) -> None:
        """Searches the names for every training mention."""
        self.remember(data, rows)
        mentions = data.dataset.mentions["mention"].iloc[rows.numpy()].tolist()
        index = NameIndex(data.dataset.entities["name"].tolist())
        self.fill(torch.from_numpy(index.search(mentions, self.wanted)))


class MinedNegatives(PooledNegatives):
    """Entities that the current model ranks high and that are wrong, mined anew before each epoch.

    Args:
        pool: The best wrong entities a mention that are drawn from.
        per_row: Entities drawn a mention.
    """

    def prepare(self, data: LinkingData, rows: Tensor) -> None:
        """Keeps the golds; there is nothing to rank yet."""
        self.remember(data, rows)

    def refresh(self, score: Score) -> None:
        """Ranks the KB for every training mention."""
        batches = score()
        k = min(self.wanted, batches[0].num_entities)
        self.fill(torch.cat([Best.of(scores, k).columns for scores in batches]).cpu())


class SeveralNegatives(Negatives):
    """Draws from several sources, such as by name and by what the model ranks high.

    Args:
        sources: They, at least one.
    """

    def __init__(self, sources: Sequence[Negatives]) -> None:
        if not sources:
            raise ConfigError("at least one source of negatives", "none", "Name some under sources.")
        self.sources = sources

    def prepare(self, data: LinkingData, rows: Tensor) -> None:
        """Prepares each source."""
        for source in self.sources:
            source.prepare(data, rows)

    def refresh(self, score: Score) -> None:
        """Lets each source follow the model; the KB is scored once, where one asks."""
        score = cache(score)
        for source in self.sources:
            source.refresh(score)

    def draw(self, rows: Tensor, gold: Tensor) -> Tensor:
        """KB rows of each source, one source after the other."""
        return torch.cat([source.draw(rows, gold) for source in self.sources])
