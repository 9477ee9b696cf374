"""The audit of a dataset: every check, in the order in which they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dim.audit.answers import check_answers
from dim.audit.findings import Audit, Thresholds
from dim.audit.floor import check_floor
from dim.audit.golds import check_golds
from dim.audit.images import GoldImages, check_images, files_to_compare, look_at
from dim.audit.kb import check_kb
from dim.audit.overlap import check_overlap, check_repeats, find_shared, keys_of, repeated_rows
from dim.audit.rows import EVALUATED, Rows, train_splits
from dim.data.dataset import Dataset
from dim.errors import ConfigError


def audit_dataset(
    dataset: Dataset, *, image_distance: int = 4, with_tune: bool = False, progress: bool = False
) -> Audit:
    """What a reported number on this dataset would hide. Nothing is printed or written.

    Args:
        dataset: The dataset.
        image_distance: Images whose perceptual hashes differ in at most so many of 64 bits are duplicates.
        with_tune: Audit tune as well, against the rest of train. Dev and test are audited where they have rows.
        progress: Show a bar on stderr while images are read.

    Raises:
        ConfigError: The distance is not between 0 and 64.
    """
    check_distance(image_distance)
    thresholds = Thresholds(image_distance=image_distance)
    rows = Rows.of(dataset)
    wanted = ("tune", *EVALUATED) if with_tune else EVALUATED
    splits = tuple(split for split in wanted if rows.in_splits(split).any())
    files, of_gold = files_to_compare(dataset, rows)
    looks = look_at(files, dataset.image_root, progress)
    keys = keys_of(rows, looks.contents)
    of_floor, ranks = check_floor(dataset, rows, splits, thresholds)
    of_images, leaking = check_images(rows, GoldImages(rows, of_gold, looks), looks, splits, thresholds)
    findings = (
        *of_floor,
        *check_golds(dataset, rows, splits, thresholds),
        *check_answers(dataset, rows),
        *check_overlap(rows, keys, splits, thresholds),
        *check_repeats(rows, keys["row"], splits),
        *of_images,
        *check_kb(dataset, thresholds),
    )
    marks: dict[str, Any] = {"id": rows.ids, "split": rows.split, "floor_rank": ranks, "image_leak": leaking}
    marks["duplicate"] = repeated_rows(rows, keys["row"])[0]
    for kind in ("row", "caption", "image"):
        marks[f"{kind}_in_train"] = np.zeros(len(rows), dtype=bool)
        for split in ("tune", *EVALUATED):
            before = rows.in_splits(*train_splits(split))
            marks[f"{kind}_in_train"] |= find_shared(keys[kind], rows.golds, rows.in_splits(split), before).rows
    return Audit(dataset.name, dataset.hash, dataset.kb_hash, splits, thresholds, findings, pd.DataFrame(marks))


def check_distance(image_distance: int) -> None:
    """Raises ConfigError where a distance between 64-bit hashes cannot be meant."""
    if not 0 <= image_distance <= 64:
        raise ConfigError("an image distance from 0 to 64 bits", str(image_distance), "Change --image_distance.")
