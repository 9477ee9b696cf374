"""Layout 2, small: DIM's `diverse`, in the raw format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from releases import PEOPLE, ROWS, row, write_image, write_json


def diverse_row(number: int, **changes: Any) -> dict[str, Any]:
    """Row `number`: a scientist of `releases.row`, with two candidates."""
    base = row(number)
    return {
        "sentence": base["sentence"],
        "mention": base["mentions"],
        "mention_type": "Person",
        "mention_image": base["imgPath"],
        "entity": base["entities"],
        "cands": [base["entities"], "Joan Clarke"],
        "topic": "science",
        "start": base["sentence"].index(base["mentions"]),
        "end": base["sentence"].index(base["mentions"]) + len(base["mentions"]),
    } | changes


def write_diverse(root: Path, images: bool = False, text: str = "Occupation: scientist") -> Path:
    """20 train, 4 dev and 4 test rows over 8 entities that the text file names, and one that candidates name."""
    root.mkdir(parents=True)
    for split, numbers in ROWS.items():
        write_json(root / f"{split}.json", [diverse_row(number) for number in numbers])
    write_json(root / "entity_list.json", list(PEOPLE)[::-1])
    write_json(root / "brief.json", {name: f"{text} {number}." for number, name in enumerate(PEOPLE)})
    if images:
        for caption in range(13):  # the image of the last rows is missing
            write_image(root / "images" / f"{caption}.jpg")
    return root
