"""What a method reads: a dataset's features as tensors, its golds and candidates, and who opens them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor

from dim.data import dataset as records
from dim.evaluation import protocols
from dim.features.batch import Batch, FeatureTable, batch_of
from dim.features.fields import FIELDS, Choices
from dim.search.scores import BATCH

EVALUATION_BATCH = BATCH  # mentions that are ranked at once
#: What a mention and an entity are compared by where nothing is trained.
TEXT_FIELDS = ("mention", "context"), ("name", "text")


@dataclass
class LinkingData:
    """Everything that a model reads of a dataset.

    Attributes:
        dataset: The dataset folder.
        mention_fields: Field name (`mention`, `context`, `caption`, `image`, `spelling`) → table over the mentions.
        entity_fields: Field name (`name`, `text`, `image`, `spelling`) → table over the KB.
        gold: [num_mentions] int64, KB rows, of several golds the first, which is trained on; -1 for NIL.
        candidates: [num_mentions, num_candidates] int64 KB rows, -1 as padding, or None: all entities.
        protocol: How mentions are ranked.
        read_texts: Reads `texts`: not every method wants them.
        fingerprints: What the features depend on: entity text, templates, encoders and ablations.
        missing_images: `mention` and `entity` → how many name images and have none, and why; empty without images.
        trusted: What the names of classes may begin with that another run names, which is opened beside this data.
        other_golds: [num_mentions, most] int64 KB rows, -1 as padding, or None: no mention has several golds.
    """

    dataset: records.Dataset
    mention_fields: dict[str, FeatureTable]
    entity_fields: dict[str, FeatureTable]
    gold: Tensor
    candidates: Tensor | None
    protocol: protocols.Protocol
    read_texts: Callable[[], list[str | None]]
    fingerprints: dict[str, str]
    missing_images: dict[str, dict[str, Any]] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()
    other_golds: Tensor | None = None
    _device: torch.device | None = field(default=None, init=False)

    @cached_property
    def texts(self) -> list[str | None]:
        """The text of each entity as the run sees it; None where it has none."""
        return self.read_texts()

    @property
    def fields(self) -> list[str]:
        """The fields that some mention or entity has, by their names in `dim.features.fields`."""
        tables = {"mention": self.mention_fields, "entity": self.entity_fields}
        return [each.name for each in FIELDS if each.read_as in tables[each.owner]]

    def mentions(self, rows: Tensor, names: Sequence[str] | None = None) -> Batch:
        """The fields of mention rows [b]: those that are named, or all."""
        return batch_of(self.mention_fields, rows, names)

    def entities(self, rows: Tensor, names: Sequence[str] | None = None) -> Batch:
        """The fields of KB rows [b]: those that are named, or all."""
        return batch_of(self.entity_fields, rows, names)

    def golds_of(self, rows: Tensor) -> Tensor:
        """All golds [b, num_golds] of mention rows [b], on their device: the first, then others; -1 as padding."""
        first = self.gold[rows.to(self.gold.device)].to(rows.device)[:, None]
        if self.other_golds is None:
            return first
        return torch.cat([first, self.other_golds[rows.cpu()].to(rows.device)], dim=1)

    def candidates_of(self, rows: Tensor) -> Tensor | None:
        """The candidates [b, num_candidates] of mention rows [b], on their device; None: all entities."""
        return None if self.candidates is None else self.candidates[rows.cpu()].to(rows.device)

    def to(self, device: torch.device, resident_bytes: float) -> None:
        """Moves the tables to the device, as long as they take at most `resident_bytes` together, once."""
        if self._device == device:
            return
        self._device = device
        tables = [*self.mention_fields.values(), *self.entity_fields.values()]
        if sum(table.nbytes for table in tables) <= resident_bytes:
            for table in tables:
                table.to(device)
        self.gold = self.gold.to(device)


@dataclass(frozen=True)
class Needs:
    """What a method asks of the data; the task says it before the data is opened.

    Attributes:
        fields: The features that it reads, by the names of `--data.leave_out`; None: all that can be had.
        evaluation_batch: Mentions that are ranked at once.
        nil: Whether it trains on mentions of entities that the KB lacks.
        least_batch: The smallest batch that it can train on.
    """

    fields: tuple[str, ...] | None = None
    evaluation_batch: int = EVALUATION_BATCH
    nil: bool = False
    least_batch: int = 2


class DataModule(Protocol):
    """What a method reads of the data module of a run, beside its data: the options as the user gave them."""

    choices: Choices
    cache_dir: Path
    leave_out: tuple[str, ...]
    shuffle: tuple[str, ...]
    blank: tuple[str, ...]

    @property
    def linking_data(self) -> LinkingData:
        """The data, opened."""

    def rows(self, split: str) -> Tensor:
        """The rows [n] of a split in `dataset.mentions`."""

    def train_rows(self) -> Tensor:
        """The training mentions [n]."""

    def shown_mentions(self) -> pd.DataFrame:
        """The mentions as a model that reads their texts sees them."""
