"""Properties of mentions that results are broken down by; none of them depends on a model's answer."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from dim.data.dataset import Dataset, gold_ids
from dim.data.splits import caption_groups

#: Column → what it says. `dim report --by` takes these names.
COLUMNS = {
    "type": "the mention's type in the release",
    "seen_in_train": "whether a gold of it is a gold of a training mention",
    "caption_in_train": "whether a training mention shares its caption or image",
    "mention_is_name": "whether the mention is a gold's name",
    "ambiguity": "how many entities have the mention's string as name or alias",
    "popularity": "of the gold entity (of several the first): a column of the KB, such as page views",
    "has_image": "whether it names an image",
    "has_caption": "whether its image has a caption",
    "image": "its first image; mentions with the same image are drawn together in tests and intervals",
}


def describe(dataset: Dataset, mentions: pd.DataFrame) -> pd.DataFrame:
    """A table with the columns `COLUMNS`: one row for each given row of `dataset.mentions`, in order, with its index.

    Strings are compared case-folded. For a NIL mention `seen_in_train` and `mention_is_name` are False, and
    `popularity` is null.
    """
    entities = dataset.entities.set_index("id")
    gold = mentions["entity_id"].astype(object).where(mentions["entity_id"].notna(), None)
    golds = gold_ids(mentions)
    train = dataset.mentions["split"] == "train"
    trained = {entity_id for ids in gold_ids(dataset.mentions[train]) for entity_id in ids}
    captions = pd.Series(caption_groups(dataset.mentions), index=dataset.mentions.index)
    bearers = Counter(
        string
        for name, aliases in zip(dataset.entities["name"], dataset.entities["aliases"], strict=True)
        for string in {name.casefold(), *(alias.casefold() for alias in aliases)}
    )
    strings = mentions["mention"].str.casefold()
    name_of = dict(zip(dataset.entities["id"], dataset.entities["name"].str.casefold(), strict=True))
    first_images = [images[0] if len(images) else None for images in mentions["images"]]
    columns = {
        "type": mentions["type"],
        "seen_in_train": [not trained.isdisjoint(ids) for ids in golds],
        "caption_in_train": captions[mentions.index].isin(set(captions[train])),
        "mention_is_name": [
            string in {name_of.get(entity_id) for entity_id in ids} for string, ids in zip(strings, golds, strict=True)
        ],
        "ambiguity": strings.map(lambda string: bearers[string]).astype("int64"),
        "popularity": gold.map(entities["popularity"], na_action="ignore").astype("float64"),
        "has_image": mentions["images"].map(len) > 0,
        "has_caption": mentions["caption"].notna(),
        "image": pd.Series(first_images, index=mentions.index, dtype=object),
    }
    return pd.DataFrame(columns)
