"""How many of the named images there are: before they are read by their files, afterwards by what could be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from dim.data.dataset import Dataset
from dim.data.missing_images import NamedImages
from dim.encoders.base import Owner
from dim.features.inputs import file_state

DROPPED = "images_dropped"  #: Key of `dataset.json`: why owners lost their image paths when they were prepared.


def absent_images(dataset: Dataset, owner: Owner) -> NamedImages:
    """The images that mentions or entities name, and those whose files are not there; no file is opened."""
    table: Literal["mentions", "entities"] = "mentions" if owner == "mention" else "entities"
    named = [paths for paths in dataset.column(table, "images").to_pylist() if paths]
    is_there = {path: file_state(dataset.image_root, path)[1] >= 0 for path in {path for of in named for path in of}}
    absent = [paths for paths in named if not any(is_there[path] for path in paths)]
    reasons = {"not found": len(absent)} if absent else {}
    return _with_dropped(dataset, owner, NamedImages(owner, len(named), reasons, [paths[0] for paths in absent]))


def used_images(dataset: Dataset, owner: Owner, manifest: Mapping[str, Any]) -> NamedImages:
    """The images that mentions or entities name, and those that could not be used, by their features' manifest."""
    reasons = {why: int(count) for why, count in manifest["missing"].items() if why != "no image"}
    tried = [path for of in manifest["unusable_files"].values() for path in of["examples"]]
    named = int(manifest["num_present"]) + sum(reasons.values())
    return _with_dropped(dataset, owner, NamedImages(owner, named, reasons, tried))


def _with_dropped(dataset: Dataset, owner: Owner, found: NamedImages) -> NamedImages:
    dropped: dict[str, int] = dataset.meta.get(DROPPED, {}).get(owner, {})
    return replace(found, named=found.named + sum(dropped.values()), reasons={**found.reasons, **dropped})
