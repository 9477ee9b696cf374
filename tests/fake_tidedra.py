"""TideDra's rows, small: negatives that never hold the answer, and facts of answers and of negatives alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from releases import PEOPLE, ROWS, qid, row, write_image, write_json


def kg() -> dict[str, Any]:
    """`KG.json`: facts as an object with trailing commas, a text of what is no person; `Q999` is only a negative."""
    facts = {
        f"Q{100 + number}": {"Sex": "female", "Occupation": f"scientist {number},writer,", "Birth": "1815,London"}
        for number in range(len(PEOPLE))
    }
    return facts | {"Q107": "British computer scientist", "Q999": {"Sex": "male"}}


def tidedra_row(number: int) -> dict[str, Any]:
    """Row `number`; its candidates are others than its answer."""
    made = row(number)
    made["imgPath"] = f"KVQAimgs/{made['imgPath']}"
    return made | {"candidates": [qid(number + 1), "Q999"]}


def write_tidedra(root: Path, names: str = "{}_v2.json", kg_file: str = "KG.json") -> Path:
    """20 train, 4 dev and 4 test rows over 8 answers, with their images in `images`."""
    root.mkdir(parents=True)
    for split, numbers in ROWS.items():
        write_json(root / names.format(split), {row(number)["id"]: tidedra_row(number) for number in numbers})
    write_json(root / kg_file, kg())
    write_json(root / "all_entities.json", [qid(number) for number in range(8)])
    for caption in range(14):
        write_image(root / "images" / f"{caption}.jpg", (caption, 0, 0))
    return root
