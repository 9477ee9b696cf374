"""FissFuse's packages, small: JSON lines whose first candidate is the answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from releases import PEOPLE, ROWS, qid, row

FILES = {"train": "train", "dev": "valid", "test": "test"}


def entity(number: int, **changes: Any) -> dict[str, Any]:
    """A row of `entities.jsonl`."""
    return {
        "id": number,
        "qid": f"Q{100 + number}",
        "name": PEOPLE[number],
        "desc": f"scientist {number}",
    } | changes


def mention(number: int, **changes: Any) -> dict[str, Any]:
    """A mention row: the answer stands first among the candidates, whatever its place in the KB."""
    made = row(number)
    return {
        "mention_id": number,
        "mentions": made["mentions"],
        "sentence": made["sentence"],
        "imgPath": f"KVQAimgs/{number // 2}.v2.png",
        "candidates": [made["answer"], qid(number + 1), qid(number + 3)],
    } | changes


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Writes JSON lines."""
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in rows), encoding="utf-8")


def write_fissfuse(root: Path, prefix: str = "WIKIMEL") -> Path:
    """20 train, 4 dev and 4 test rows over 8 entities, without images."""
    root.mkdir(parents=True)
    for split, numbers in ROWS.items():
        write_lines(root / f"{prefix}_{FILES[split]}.jsonl", [mention(number) for number in numbers])
    write_lines(root / "entities.jsonl", [entity(number) for number in range(8)])
    return root


def image_bytes(colour: tuple[int, int, int], kind: str = "JPEG") -> bytes:
    """An image file of one colour."""
    content = BytesIO()
    Image.new("RGB", (8, 8), colour).save(content, kind)
    return content.getvalue()
