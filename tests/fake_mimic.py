"""Layout 4, small: a package of MIMIC with the traps of the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from releases import PEOPLE, ROWS, qid, row, write_image, write_json


def entity(number: int, **changes: Any) -> dict[str, Any]:
    """Entity `number` as `kb_entity.json` has it: the name is URL-quoted."""
    name = PEOPLE[number % len(PEOPLE)]
    return {
        "id": number,
        "type": "entity",
        "entity_name": quote(name),
        "attr": f"Occupation: scientist {number}.",
        "image_list": [f"{qid(number)}.jpg"],
        "qid": qid(number),
    } | changes


def mention(number: int, **changes: Any) -> dict[str, Any]:
    """Mention row `number`; its image's name has an extension that the package does not use."""
    made = row(number)
    return {
        "id": made["id"],
        "sentence": made["sentence"],
        "imgPath": f"photos/{number // 2}.v2.png",
        "mentions": quote(made["mentions"]),
        "answer": made["answer"],
    } | changes


def write_mimic(root: Path, prefix: str = "WIKIMEL", images: bool = True) -> Path:
    """20 train, 4 dev and 4 test rows over 8 entities; `Q107` has neither text nor image."""
    root.mkdir(parents=True)
    for split, numbers in ROWS.items():
        write_json(root / f"{prefix}_{split}.json", [mention(number) for number in numbers])
    write_kb(root, [entity(number) for number in range(7)] + [entity(7, attr=None, image_list=None)])
    if images:
        for caption in range(14):
            write_image(root / "mention_image" / f"{caption}.jpg")
        for number in range(7):
            write_image(root / "kb_image" / f"{qid(number)}.jpg")
    return root


def write_kb(root: Path, entities: list[dict[str, Any]]) -> None:
    """Writes `kb_entity.json`, and the `qid2id.json` that goes with it."""
    write_json(root / "kb_entity.json", entities)
    write_json(root / "qid2id.json", {item["qid"]: item["id"] for item in entities if item.get("qid")})
