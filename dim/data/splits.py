"""Splits that never cut a caption in two: mentions that share an image or a context stay together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.core.files import content_hash
from dim.data.dataset import attributes_of
from dim.images.regions import split_region

# The draw is part of a dataset, not of a training run: it has one seed for ever.
SPLIT_SEED = "dim-splits-1"
DOCUMENT = "document"  #: The attribute of a mention that names its text.


def caption_groups(mentions: pd.DataFrame) -> NDArray[np.int64]:
    """The number of each mention's caption; mentions that share an image or a non-empty context share the number.

    Two regions of one image are one image.

    Example:
        >>> table = pd.DataFrame({"context": ["a", "a", "b", ""], "images": [[], ["1.jpg"], ["1.jpg"], []]})
        >>> caption_groups(table).tolist()
        [0, 0, 0, 1]
    """
    parents = list(range(len(mentions)))

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = row = parents[parents[row]]
        return row

    first_row: dict[tuple[str, str], int] = {}
    for row, (context, images) in enumerate(zip(mentions["context"], mentions["images"], strict=True)):
        shared = [("context", context)] if context else []
        for key in shared + [("image", split_region(image)[0]) for image in images]:
            parents[find(row)] = find(first_row.setdefault(key, row))
    roots = np.array([find(row) for row in range(len(mentions))], dtype=np.int64)
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def text_groups(mentions: pd.DataFrame) -> NDArray[np.int64]:
    """The number of each mention's text: those of one `document` (attribute), else of one non-empty context, share it.

    Example:
        >>> table = pd.DataFrame({"context": ["a", "b", "a", "", ""], "attributes": [None] * 5})
        >>> table.loc[1, "attributes"] = '{"document": 7}'
        >>> text_groups(table).tolist()
        [0, 1, 0, 2, 3]
    """
    numbers: dict[tuple[str, str], int] = {}
    found = np.empty(len(mentions), np.int64)
    for row, (context, attributes) in enumerate(zip(mentions["context"], mentions["attributes"], strict=True)):
        document = attributes_of(attributes).get(DOCUMENT)
        if document is not None:
            key = "document", str(document)
        else:
            key = ("context", context) if context else ("alone", str(row))
        found[row] = numbers.setdefault(key, len(numbers))
    return found


def draw_captions(mentions: pd.DataFrame, share: float, purpose: str) -> NDArray[np.bool_]:
    """Draws whole captions that hold `share` of the mentions, the same ones every time.

    A caption is taken by the hash of its words (`_identities`), so the draw depends neither on the order of the rows
    nor on what their images are called. It takes at least one caption and leaves at least one; with fewer than two
    captions it takes none.

    Args:
        mentions: Columns `mention`, `context`, `images` and, where there is one, `entity_id`.
        share: The share of mentions to take, between 0 and 0.5.
        purpose: The name of the new split; draws for other purposes are independent.

    Returns:
        A mask [len(mentions)] of the mentions taken.
    """
    groups = caption_groups(mentions)
    sizes = np.bincount(groups)
    if len(sizes) < 2:
        return np.zeros(len(mentions), dtype=bool)
    hashes = pd.Series([content_hash(SPLIT_SEED, purpose, *words) for words in _identities(mentions)])
    order = hashes.groupby(groups).min().sort_values(kind="stable").index.to_numpy()
    taken = np.zeros(len(sizes), dtype=bool)
    room = max(1, round(share * len(mentions)))
    for group in order:
        if sizes[group] <= room:
            taken[group] = True
            room -= sizes[group]
    if not taken.any():
        taken[np.argmin(sizes)] = True
    mask: NDArray[np.bool_] = taken[groups]
    return mask


def _identities(mentions: pd.DataFrame) -> list[tuple[str, ...]]:
    """What a mention is known by when captions are drawn: its words, never the path of its image.

    A path is repaired, a folder gets another name: neither may move a row from train to test. Of mentions without a
    context, which may all have the same words (none, where a region of an image is the mention), the gold and the
    place among its equals tell them apart.
    """
    golds = mentions["entity_id"] if "entity_id" in mentions else [None] * len(mentions)
    met: Counter[tuple[str, ...]] = Counter()
    found = []
    for name, context, gold in zip(mentions["mention"], mentions["context"], golds, strict=True):
        words: tuple[str, ...] = (name, context)
        if not context:
            words += (gold if isinstance(gold, str) else "",)
            met[words] += 1
            words += (str(met[words]),)
        found.append(words)
    return found


def draw_splits(mentions: pd.DataFrame) -> pd.Series:
    """Train (80%), dev (10%) and test (10%) for mentions that came without splits."""
    split = pd.Series("train", index=mentions.index, dtype=object)
    for name, share in (("dev", 1 / 10), ("test", 1 / 9)):
        rest = mentions[split == "train"]
        split.loc[rest.index[draw_captions(rest, share, name)]] = name
    return split


def carve_tune(mentions: pd.DataFrame) -> pd.Series:
    """The splits with `tune` carved from train (10%); unchanged where the release has a `tune` of its own."""
    split = mentions["split"].astype(object)
    train = mentions[split == "train"]
    if not (split == "tune").any():
        split.loc[train.index[draw_captions(train, 1 / 10, "tune")]] = "tune"
    return split
