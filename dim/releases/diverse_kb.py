"""What DIM's `diverse` says of its entities: the list, the texts, and the images that rows carry."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from dim.data.files import json_type, list_names, read_json
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.entity_texts import read_text_object
from dim.releases.hashed_images import HashedImages
from dim.releases.split_files import SPLITS
from dim.releases.title_kb import title_texts
from dim.releases.titles import title_id

ENTITY_LIST, SEARCH_FILE = "entity_list.json", "search_top100.json"
_BY_SPLIT = tuple(f"entity2brief_{stem}.json" for stems in SPLITS.values() for stem in stems)
#: Variant → groups of files; the first group of which a file is there counts.
TEXT_FILES = {
    "brief": (("brief.json",), ("qid2abs.json",), ("entity2brief.json",), _BY_SPLIT),
    "brief_long": (("brief_long.json",), ("qid2abs_long.json",)),
}


class EntityImages:
    """Collects the entity images that rows carry beside their candidates and their golds."""

    def __init__(self, images: HashedImages) -> None:
        self._images = images
        self._of_candidates: dict[str, dict[str, None]] = {}
        self._of_golds: dict[str, dict[str, None]] = {}

    def add(self, title: str, images: Any, is_gold: bool) -> None:
        """Adds the images of one entity: a name, a URL, an array of them, or nothing."""
        values = images if isinstance(images, list) else [images]
        names = [name for value in values if isinstance(value, str) for name in self._images.names(value.strip())]
        if names:
            of = self._of_golds if is_gold else self._of_candidates
            of.setdefault(title_id(title), {}).update(dict.fromkeys(names))

    def column(self, entity_ids: Iterable[str]) -> tuple[pd.Series, list[str]]:
        """The images of each entity, and notes.

        Where golds alone carry images none is taken: to have an image would tell the golds apart.
        """
        use_golds = bool(self._of_candidates)
        names = [
            {**self._of_candidates.get(entity_id, {}), **(self._of_golds.get(entity_id, {}) if use_golds else {})}
            for entity_id in entity_ids
        ]
        notes = []
        if self._of_golds and not use_golds:
            notes.append(f"images of {len(self._of_golds):,} entities were left out: golds alone have them")
        return pd.Series([list(known) for known in names], dtype=object), notes


def read_entity_files(root: Path) -> tuple[list[str], dict[str, dict[str, str]], list[str]]:
    """The titles that the files list, the texts (variant → id → text), and notes.

    Raises:
        DataError: A file is unreadable or holds something else.
    """
    names = list_names(root)
    listed = _read_list(root / ENTITY_LIST) if ENTITY_LIST in names else []
    texts: dict[str, dict[str, str]] = {}
    notes = []
    read = {ENTITY_LIST, SEARCH_FILE} | {f"{stem}.json" for stems in SPLITS.values() for stem in stems}
    for variant, groups in TEXT_FILES.items():
        files = next((present for group in groups if (present := [file for file in group if file in names])), [])
        pairs = [
            pair for file in files for pair in read_text_object(root / file, "entity name", "Douglas Adams").items()
        ]
        read |= set(files)
        if pairs:
            listed += [title for title, _ in pairs]
            texts[variant], num_repeats = title_texts(pairs)
            if num_repeats:
                notes.append(f"{variant}: texts whose entity came before (the first counts): {num_repeats:,}")
    if not texts:
        notes.append("no brief.json: the entities have no text; rename their file to it, or name it with --texts.brief")
    others = sorted(name for name in names - read if name.endswith(".json"))
    if others:
        notes.append(f"not read: {', '.join(others)}")
    return listed, texts, notes


def _read_list(path: Path) -> list[str]:
    titles = read_json(path)
    if not isinstance(titles, list) or not all(isinstance(title, str | int) for title in titles):
        raise DataError(f"an array of entity names in {path}", json_type(titles), "Download the release again.")
    return [text_cell(title) for title in titles]
