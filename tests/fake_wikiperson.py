"""Layout 7, small: WIKIPerson, whose boxes are strings and whose train and dev are one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from releases import PEOPLE, qid, write_image, write_json

SIDE = 64


def person(number: int, **changes: Any) -> dict[str, Any]:
    """Row `number`: rows 2n and 2n + 1 are the left and the right half of image n."""
    left = SIDE // 2 * (number % 2)
    return {
        "id": number,
        "image": f"{number // 2}.jpg",
        "boundingbox": f"[{left + 0.25}, 8.5, {left + 30.75}, 40]",
        "wikiid": qid(number),
    } | changes


def write_wikiperson(root: Path, images: bool = True, kb_folder: str = "") -> Path:
    """20 rows of train and dev, 4 of test; `Q107` has no image."""
    root.mkdir(parents=True)
    write_json(root / "WIKIPerson_Train_Dev.json", [person(number) for number in range(20)])
    write_json(root / "WIKIPerson_Test.json", [person(number) for number in range(20, 24)])
    (root / kb_folder).mkdir(exist_ok=True)
    kb = [
        {"id": qid(number), "name": name, "description": f"scientist {number}", "lastrevid": number}
        for number, name in enumerate(PEOPLE)
    ]
    write_json(root / kb_folder / "entity_12w.json", kb)
    if images:
        for number in range(12):
            write_halves(root / "images" / f"{number}.jpg")
        for number in range(7):
            write_image(root / "IKB" / f"{qid(number)}.jpg")
    return root


def write_halves(path: Path) -> None:
    """Writes an image whose left half is red and whose right half is blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (SIDE, SIDE), (255, 0, 0))
    image.paste((0, 0, 255), (SIDE // 2, 0, SIDE, SIDE))
    image.save(path, quality=95, subsampling=0)
