"""The entity texts and entity images of WikiDiverse: lines split by `@@@@`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dim.data.skipped import Skipped
from dim.releases.hashed_images import HashedImages
from dim.releases.separated_lines import malformed_notes, read_pairs, split_urls
from dim.releases.split_files import find_matching_files
from dim.releases.titles import title_id

TEXT_FILES, IMAGE_FILES = r".*entity2desc.*\.(tsv|txt)", r".*entity2im(g|age).*\.(tsv|txt)"


def read_texts(root: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Entity and text of each line, and notes."""
    malformed = Skipped()
    pairs = [pair for file in find_matching_files(root, TEXT_FILES) for pair in read_pairs(root / file, malformed)]
    return pairs, malformed_notes(malformed) + ([] if pairs else ["no entity2desc*.tsv: the entities have no text"])


def read_images(root: Path, entity_ids: pd.Series, images: HashedImages) -> tuple[pd.Series, list[str]]:
    """The local image names of each entity, and notes; the file covers more entities than the KB."""
    files = find_matching_files(root, IMAGE_FILES)
    names: dict[str, dict[str, None]] = {entity_id: {} for entity_id in entity_ids}
    malformed = Skipped()
    for file in files:
        for title, urls in read_pairs(root / file, malformed):
            known = names.get(title_id(title))
            if known is not None:
                known |= dict.fromkeys(name for url in split_urls(urls) for name in images.names(url))
    column = pd.Series([list(names[entity_id]) for entity_id in entity_ids], dtype=object)
    return column, malformed_notes(malformed) + ([] if files else ["no entity2img*.tsv: the entities have no image"])
