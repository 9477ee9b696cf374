"""GHMFC's WikiMEL, small: two mentions a caption, `<caption id>.jpg`, and the official split by caption id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from releases import PEOPLE, row, write_image, write_json

SPLITS = {"train": range(0, 10), "test": range(10, 12), "dev": range(12, 14)}  # captions, in the order of the file


def nel_rows(**changes: Any) -> dict[str, dict[str, Any]]:
    """`nel_121.json`: the key is `<caption id>-<n>`, `id` the caption's."""
    made = {}
    for number in range(28):
        item = row(number)
        caption = str(100 + number // 2)
        made[f"{caption}-{number % 2}"] = {
            "id": caption,
            "sentence": item["sentence"],
            "mentions": item["mentions"],
            "entities": item["entities"],
            "answer": item["answer"],
        } | changes
    return made


def caption_splits() -> dict[str, list[str]]:
    """`splits.json`: arrays of caption ids."""
    return {split: [str(100 + caption) for caption in captions] for split, captions in SPLITS.items()}


def write_ghmfc(root: Path, splits: bool = True, folder: str = "input_data", images: bool = True) -> Path:
    """20 train, 4 dev and 4 test rows over 8 entities, as the repository's `datasets/WikiMEL` has them."""
    files = root / folder
    files.mkdir(parents=True)
    ids = [f"Q{100 + number}" for number in range(len(PEOPLE))]
    write_json(files / "nel_121.json", nel_rows())
    write_json(files / "qid2ne.json", dict(zip(ids, PEOPLE, strict=True)))
    write_json(files / "ne2qid.json", dict(zip(PEOPLE, ids, strict=True)))
    write_json(files / "qid2abs.json", {entity_id: f"Occupation: scientist {entity_id}." for entity_id in ids})
    if splits:
        write_json(files / "splits.json", caption_splits())
    if images:
        for caption in range(14):
            write_image(root / "images" / f"{100 + caption}.jpg", (caption, 0, 0))
    return root
