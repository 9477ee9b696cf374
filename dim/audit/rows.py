"""The mentions of a dataset as the checks read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.data.dataset import Dataset, gold_ids
from dim.images.regions import split_region

Mask = NDArray[np.bool_]

EVALUATED = ("dev", "test")


@dataclass(frozen=True)
class Rows:
    """The columns of the mentions, row by row in the dataset's order.

    Attributes:
        ids: Mention ids.
        split: The split of each.
        mention: The names.
        context: Spaces squeezed; empty where there is none.
        span: Where each stands in its context as it is, (None, None) where that is not known.
        golds: The ids of each one's golds, the first one first; empty for NIL.
        images: Image paths as the dataset names them, with their regions.
        files: The same without regions, each once.
    """

    ids: Sequence[str]
    split: NDArray[np.object_]
    mention: Sequence[str]
    context: Sequence[str]
    span: Sequence[tuple[int | None, int | None]]
    golds: Sequence[tuple[str, ...]]
    images: Sequence[tuple[str, ...]]
    files: Sequence[tuple[str, ...]]

    @classmethod
    def of(cls, dataset: Dataset) -> Rows:
        """Reads them from the dataset's table."""
        table = dataset.mentions
        images = paths_of(table["images"].tolist())
        return cls(
            ids=table["id"].tolist(),
            split=table["split"].to_numpy(dtype=object),
            mention=[text_of(mention) for mention in table["mention"].tolist()],
            context=[" ".join(text_of(context).split()) for context in table["context"].tolist()],
            span=[
                (None, None) if pd.isna(start) or pd.isna(end) else (int(start), int(end))
                for start, end in zip(table["start"].tolist(), table["end"].tolist(), strict=True)
            ],
            golds=gold_ids(table),
            images=images,
            files=files_of(images),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def in_splits(self, *splits: str) -> Mask:
        """A mask [n] of the rows of these splits."""
        mask: Mask = np.isin(self.split.astype(str), splits)
        return mask


def train_splits(split: str) -> tuple[str, ...]:
    """What a model has seen before `split` is evaluated: all of the released train, or for `tune` the rest of it.

    Example:
        >>> train_splits("dev"), train_splits("tune")
        (('train', 'tune'), ('train',))
    """
    return ("train",) if split == "tune" else ("train", "tune")


def golds_in(rows: Rows, *splits: str) -> set[str]:
    """The golds of the rows of these splits."""
    return {gold for place in np.flatnonzero(rows.in_splits(*splits)).tolist() for gold in rows.golds[place]}


def paths_of(images: Sequence[Any]) -> list[tuple[str, ...]]:
    """A column of lists of paths, as tuples."""
    return [() if paths is None else tuple(paths) for paths in images]


def files_of(images: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The files of each row's images: without regions, each once."""
    return [tuple(dict.fromkeys(split_region(path)[0] for path in paths)) for paths in images]


def text_of(value: Any) -> str:
    """A cell as text; null is empty."""
    return value if isinstance(value, str) else ""
