"""The ranks of a method with what needs no training beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize

from dim.core.progress import shown
from dim.evaluation.floor import rank_by_floors
from dim.evaluation.protocols import Ranked
from dim.evaluation.results import ranks_frame
from dim.features.batch import FeatureTable, passed, stacked
from dim.features.trained import TrainedTable
from dim.inference.data import EVALUATION_BATCH, TEXT_FIELDS, LinkingData
from dim.search.scores import SLICE, Products, Scores

Fields = tuple[str, ...]
IMAGE_FIELDS: tuple[Fields, Fields] = (("image",), ("image",))
MENTIONS_AT_ONCE = 16 * EVALUATION_BATCH  # the more, the less often a large KB is added up
SCORES_AT_ONCE = 4 * EVALUATION_BATCH * SLICE  # 256 MiB: of many mentions with a part of a slice
AT_ONCE = 8192  # owners whose fields are summed at once: the fields take several times the memory of the sums


def ranks_beside_baselines(data: LinkingData, rows: Tensor, split: str, ranked: Ranked) -> pd.DataFrame:
    """A row a mention, as ranks.parquet has them, with the string floors and the frozen vectors.

    Args:
        data: What was ranked.
        rows: [n] mention rows.
        split: Whose they are.
        ranked: The method's outcome for them.
    """
    mentions = data.dataset.mentions.iloc[rows.numpy()]
    names = mentions["mention"].tolist()
    beside = rank_by_floors(data.dataset, names, data.golds_of(rows), data.protocol, data.candidates_of(rows))
    if (frozen := rank_by_frozen_vectors(data, rows)) is not None:
        beside["frozen"] = frozen
    return ranks_frame(
        data.dataset,
        mentions,
        split=split,
        protocol=data.protocol.name,
        ranked=ranked,
        beside=beside,
    )


def rank_by_frozen_vectors(data: LinkingData, rows: Tensor) -> Ranked | None:
    """The row that stands beside every model: mention + context against name + text; by image where there is no text.

    Args:
        data: The features.
        rows: [n] mention rows.

    Returns:
        The outcome; None where mentions and entities have no such features, or their encoder is trained.
    """
    of_mention, of_entity = TEXT_FIELDS if "mention" in data.mention_fields else IMAGE_FIELDS
    of_mention = tuple(name for name in of_mention if name in data.mention_fields)
    of_entity = tuple(name for name in of_entity if name in data.entity_fields)
    tables = [*(data.mention_fields[name] for name in of_mention), *(data.entity_fields[name] for name in of_entity)]
    if not of_mention or not of_entity or any(isinstance(table, TrainedTable) for table in tables):
        return None
    num_entities, parts = len(data.dataset.entities), []
    is_small = num_entities <= SLICE
    kb = unit_sum(data.entity_fields, of_entity, torch.arange(num_entities)) if is_small else None
    with shown("frozen vectors, mention", len(rows), passing=True) as advance:
        for batch in rows.split(EVALUATION_BATCH if is_small else MENTIONS_AT_ONCE):
            asked = unit_sum(data.mention_fields, of_mention, batch)
            told = Shared(len(batch), 2 * num_entities, advance)  # ranking passes the KB twice at most
            scores = FrozenScores(asked, data, of_entity, told.did) if kb is None else Products(asked, kb)
            parts.append(data.protocol.rank(scores, data.golds_of(batch), data.candidates_of(batch)))
            told.end()
    return Ranked.concatenate(parts)


class Shared:
    """Tells of a batch, by the share of the work on it that is done, how many of its items are.

    Args:
        size: Items.
        most: What the work is, in other units; it may be less.
        advance: Hears how many items more are done.
    """

    def __init__(self, size: int, most: int, advance: Callable[[int], object]) -> None:
        self.size, self.most, self.advance = size, most, advance
        self._done = self._told = 0

    def did(self, count: int) -> None:
        """So much more of the work is done."""
        self._done += count
        self._tell(self.size * self._done // self.most)

    def end(self) -> None:
        """All of it is done."""
        self._tell(self.size)

    def _tell(self, items: int) -> None:
        self.advance(items - self._told)
        self._told = items


class FrozenScores(Scores):
    """Dot products with the unit sums of the KB's fields, which are added up a slice at a time, never all at once.

    Args:
        queries: [B, width].
        data: The features.
        fields: Of the entities.
        told: Hears how many entities more were scored.
    """

    def __init__(self, queries: Tensor, data: LinkingData, fields: Fields, told: Callable[[int], object] = int) -> None:
        super().__init__(len(queries), len(data.dataset.entities))
        self.queries, self.tables, self.fields, self.told = queries, data.entity_fields, fields, told

    @property
    def at_once(self) -> int:
        """Fewer of many mentions: a slice has at most `SCORES_AT_ONCE` scores."""
        return max(1, min(SLICE, SCORES_AT_ONCE // max(1, self.num_mentions)))

    def of(self, entities: slice) -> Tensor:
        """Products of `EVALUATION_BATCH` mentions at a time, whose last digit depends on how many there are."""
        kb = unit_sum(self.tables, self.fields, torch.arange(entities.start, entities.stop))
        found = torch.cat([part @ kb.T for part in self.queries.split(EVALUATION_BATCH)])
        self.told(len(kb))
        return found

    def at(self, entities: Tensor) -> Tensor:
        """Of the pairs alone."""
        unique, places = entities.unique(return_inverse=True)
        return Products(self.queries, unit_sum(self.tables, self.fields, unique)).at(places)


def unit_sum(tables: dict[str, FeatureTable], names: Sequence[str], owners: Tensor) -> Tensor:
    """The sum [n, width] of the owners' unit vectors, itself scaled to unit length; zeros where all are missing."""
    read = [tables[name] for name in names]
    sums = (
        normalize(torch.stack([normalize(table.take(part).mean()[0]) for table in read]).sum(0))
        for part in passed(read, owners, AT_ONCE)
    )
    return stacked(sums, len(owners), torch.empty(0, read[0].width, device=owners.device))
