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
    run: Path, most: int, dataset: Path | None = None, with_images: bool = True
) -> AskedMentions | None:
    """Mentions of the first of `SPLITS` that has any; None: the run's dataset has none.

    Args:
        run: A folder that `dim fit` wrote.
        most: Mentions at most; of more so many are drawn, the same each time.
        dataset: Where the run's dataset stands now, if it has moved.
        with_images: Whether their images are asked, too.
    """
    from dim.releases.prepare import open_dataset  # every release: a tenth of a second, of all commands beside this one

    data = read_config(run)["data"]
    images = data.get("images") if dataset is None else None
    opened = open_dataset(Path(dataset or data["root"]), Path(data["cache_dir"]), Path(images) if images else None)
    table = opened.mentions
    for split in SPLITS:
        rows = table[(table["split"] == split) & table["mention"].str.strip().astype(bool)]
        rows = rows[opened.gold_rows(rows) >= 0]
        if rows.empty:
            continue
        drawn = np.sort(np.random.default_rng(0).permutation(len(rows))[:most])
        some = rows.iloc[drawn]
        questions = [_question(opened, row, with_images) for row in some.itertuples()]
        return AskedMentions(split, len(rows), questions, gold_ids(some))
    return None


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
