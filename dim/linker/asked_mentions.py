"""Mentions of a run's dataset with their golds, as a caller would ask them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dim.data.dataset import Dataset, gold_ids
from dim.errors import DataError
from dim.inference.places import read_config
from dim.linker.answer import Question
from dim.linker.images import ImageReader

SPLITS = ("dev", "tune")  #: The first that has mentions is asked.


@dataclass(frozen=True)
class AskedMentions:
    """Mentions of one split whose entity the KB has.

    Attributes:
        split: Of the dataset.
        num_there: How many such mentions it has.
        questions: Some of them, with the paths of their images.
        golds: Of each, the ids that are right.
    """

    split: str
    num_there: int
    questions: Sequence[Question]
    golds: Sequence[tuple[str, ...]]


def mentions_of_run(
    run: Path, most: int, dataset: Path | None = None, reader: ImageReader | None = None
) -> AskedMentions | None:
    """Mentions of the first of `SPLITS` that has any; None: the run's dataset has none.

    Args:
        run: A folder that `dim fit` wrote.
        most: Mentions at most; of more so many are drawn, the same each time.
        dataset: Where the run's dataset stands now, if it has moved.
        reader: Of their images, which are asked, too, and alone where a mention has no name; None: they are not.
    """
    from dim.releases.prepare import open_dataset  # every release: a tenth of a second, of all commands beside this one

    data = read_config(run)["data"]
    images = data.get("images") if dataset is None else None
    opened = open_dataset(Path(dataset or data["root"]), Path(data["cache_dir"]), Path(images) if images else None)
    table = opened.mentions
    for split in SPLITS:
        rows = table[(table["split"] == split) & _ask(table, reader is not None)]
        rows = rows[opened.gold_rows(rows) >= 0]
        drawn = np.sort(np.random.default_rng(0).permutation(len(rows))[:most])
        some = rows.iloc[drawn]
        asked = [_question(opened, row, reader is not None) for row in some.itertuples()]
        pairs = [pair for pair in zip(asked, gold_ids(some), strict=True) if _can_be_asked(pair[0], reader)]
        if pairs:
            return AskedMentions(split, len(rows), *zip(*pairs, strict=True))
    return None


def _ask(table: pd.DataFrame, with_images: bool) -> pd.Series[bool]:
    """Whether each mention has a name or, where images are asked, names one."""
    has_name = table["mention"].str.strip().astype(bool)
    return has_name | table["images"].map(lambda paths: with_images and paths is not None and len(paths) > 0)


def _can_be_asked(question: Question, reader: ImageReader | None) -> bool:
    """Whether a question has a name, or an image that can be used."""
    if question.mention.strip() or reader is None:
        return True
    with suppress(DataError):
        return reader.open(question.image) is not None
    return False


def _question(dataset: Dataset, row: Any, with_images: bool) -> Question:
    paths = row.images if with_images and row.images is not None else ()
    is_placed = bool(row.context) and not (pd.isna(row.start) or pd.isna(row.end))
    span = (int(row.start), int(row.end)) if is_placed else None
    images = tuple(str(dataset.image_root / path) for path in paths)
    return Question(row.mention, row.context or "", images or None, None, span)


def with_ready_images(questions: Sequence[Question], reader: ImageReader) -> list[Question]:
    """Questions whose images are made ready; one that cannot be used is left out, as it is for a run."""
    ready = []
    for question in questions:
        image = None
        with suppress(DataError):
            image = reader.open(question.image)
        ready.append(replace(question, image=image))
    return ready
