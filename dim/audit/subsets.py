"""Datasets with fewer evaluation rows: the clean one, and MEL-Hard. The KB and its texts stay as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dim.audit.findings import AUDIT_VERSION, Audit
from dim.audit.rows import EVALUATED, Mask, text_of
from dim.core.output import Kind as FolderKind
from dim.core.output import check_target, claimed_folder
from dim.data.dataset import Dataset, dataset_kind, write_dataset
from dim.errors import DataError

Kind = Literal["clean", "hard"]

#: Keys of `dataset.json` that `write_dataset` makes anew, and keys that count rows of the original.
_MADE_ANEW = {
    "format_version",
    "name",
    "image_root",
    "kb_hash",
    "hash",
    "hashes",
    "num_entities",
    "num_mentions",
    "texts",
}
_ROW_COUNTS = {
    "rows_read",
    "rows_kept",
    "skipped",
    "num_nil",
    "share_mention_is_name",
    "mentions_without_image",
    "images",
    "audit",
}


@dataclass(frozen=True)
class Subset:
    """Which rows stay, and why the others went.

    Attributes:
        kind: `clean` or `hard`.
        keep: [num_mentions].
        removed: Split → reason → rows; a row counts under its first reason.
    """

    kind: Kind
    keep: Mask
    removed: Mapping[str, Mapping[str, int]]


def clean(audit: Audit) -> Subset:
    """The rows that a figure may stand on.

    Dev and test lose the rows that stand in train or tune, those that share a caption or an image with a row there,
    those whose image is a duplicate of the gold's, and equal rows but the first. Tune loses what it shares with train
    in these ways, and equal rows. Train loses equal rows but the first, and nothing else. Rows are equal where mention,
    context, images and answer are.
    """
    rows = audit.rows
    split = rows["split"].to_numpy(dtype=object)
    evaluated = np.isin(split.astype(str), EVALUATED)
    not_train = evaluated | (split == "tune")
    return _subset(
        "clean",
        split,
        {
            "stands in train": not_train & rows["row_in_train"].to_numpy(),
            "caption in train": not_train & rows["caption_in_train"].to_numpy(),
            "image in train": not_train & rows["image_in_train"].to_numpy(),
            "image of the gold": evaluated & rows["image_leak"].to_numpy(),
            "repeats a row": rows["duplicate"].to_numpy(),
        },
    )


def hard(dataset: Dataset, audit: Audit) -> Subset:
    """MEL-Hard: rows of dev and test that need more than the name.

    The string floor is wrong, several entities of the KB bear the gold's surname, and the image is not the gold's own.
    Train and tune stay, so that a model can be trained and evaluated on the same folder.
    """
    rows = audit.rows
    surnames = [surname(text_of(name)) for name in dataset.entities["name"].tolist()]
    bearers = Counter(surnames)
    golds = dataset.golds_of(dataset.mentions)
    gold = golds[:, 0]
    own = [[surnames[row] for row in rows_of if row >= 0] for rows_of in golds.tolist()]
    alone = np.array([not any(bearers[each] > names.count(each) for each in names) for names in own], dtype=bool)
    split = rows["split"].to_numpy(dtype=object)
    evaluated = np.isin(split.astype(str), EVALUATED)
    return _subset(
        "hard",
        split,
        {
            "no answer in the KB": evaluated & (gold < 0),
            "the name alone answers it": evaluated & (rows["floor_rank"].to_numpy() <= 1),
            "no other entity of that surname": evaluated & alone,
            "image of the gold": evaluated & rows["image_leak"].to_numpy(),
        },
    )


def surname(name: str) -> str:
    """The last word of a name, casefolded; a title's closing bracket does not count. Empty for an empty name.

    Example:
        >>> surname("Jonah Hill"), surname("Paris (Texas)"), surname("Plato")
        ('hill', 'paris', 'plato')
    """
    head = name.split(" (")[0] if name.rstrip().endswith(")") else name
    words = (head if head.strip() else name).split()
    return words[-1].casefold() if words else ""


def _subset(kind: Kind, split: np.ndarray[tuple[int, ...], Any], reasons: Mapping[str, Mask]) -> Subset:
    keep = np.ones(len(split), dtype=bool)
    removed: dict[str, dict[str, int]] = {}
    for reason, mask in reasons.items():
        for name, count in Counter(split[keep & mask].tolist()).items():
            removed.setdefault(name, {})[reason] = count
        keep &= ~mask
    return Subset(kind, keep, removed)


def folder_kind(dataset: Dataset, kind: Kind) -> FolderKind:
    """Earlier subsets of this kind of the same dataset: to make one again loses nothing."""

    def is_made(meta: Mapping[str, Any]) -> bool:
        made = meta.get("derived_from", {})
        return bool(made.get("hash") == dataset.hash and made.get("subset") == kind)

    return dataset_kind(f"the {kind} subset of {dataset.name}", is_made)


def check_subset_target(root: Path, dataset: Dataset, kind: Kind) -> None:
    """Makes sure that writing a subset to `root` loses nothing: call it before long work.

    Raises:
        ConfigError: `root` is or overlaps the dataset itself, or holds anything but an earlier subset of this kind of
            the same dataset.
    """
    check_target(root, folder_kind(dataset, kind), sources=[dataset.root], overwrite=True)


def write_subset(dataset: Dataset, audit: Audit, subset: Subset, root: Path) -> Dataset:
    """Writes the rows that stay as a dataset folder, and opens it.

    Entities, texts, source and licence are those of the original; `derived_from` in `dataset.json` names it by its
    hash and says what was removed and why.

    Raises:
        DataError: No row of dev or test is left.
        ConfigError: `root` must not be written to (`check_subset_target`).
    """
    mentions = dataset.mentions[subset.keep]
    if not mentions["split"].isin(EVALUATED).any():
        raise DataError(
            f"rows of dev or test for the {subset.kind} subset of {dataset.name}",
            f"none left; removed: {describe(subset) or 'nothing, there was none'}",
            f"Leave out --write_{subset.kind}.",
        )
    meta = {key: value for key, value in dataset.meta.items() if key not in _MADE_ANEW | _ROW_COUNTS}
    texts = {variant: dataset.text_table(variant) for variant in dataset.variants}
    meta["derived_from"] = {
        "dataset": dataset.name,
        "hash": dataset.hash,
        "kb_hash": dataset.kb_hash,
        "subset": subset.kind,
        "audit_version": AUDIT_VERSION,
        "image_distance": audit.thresholds.image_distance,
        "images_compared": any(f.of and f.name.startswith("image is a duplicate") for f in audit.findings),
        "removed": {split: dict(reasons) for split, reasons in sorted(subset.removed.items())},
    }
    kind = folder_kind(dataset, subset.kind)
    with claimed_folder(root, kind, "dim audit", sources=[dataset.root], overwrite=True):
        return write_dataset(
            root,
            name=f"{dataset.name}-{subset.kind}",
            entities=dataset.entities,
            texts=texts,
            mentions=mentions,
            image_root=str(dataset.image_root.resolve()),
            image_urls=dataset.image_urls,
            **meta,
        )


def describe(subset: Subset) -> str:
    """What was removed, in one line; empty where nothing was.

    Example:
        >>> describe(Subset("clean", np.array([True]), {"dev": {"repeats a row": 1}}))
        'dev: repeats a row 1'
    """
    return "; ".join(
        f"{split}: " + ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
        for split, reasons in sorted(subset.removed.items())
    )
