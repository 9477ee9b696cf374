"""DiffMEL, small: candidates with their own text and image, the answer first among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from releases import PEOPLE, write_image, write_json


def candidate(number: int, of: int) -> dict[str, Any]:
    """Entity `number` as a candidate in the row about entity `of`, whose folder holds its image."""
    folder = f"{PEOPLE[of]}-Q{100 + of}"
    return {
        "Qid": f"Q{100 + number}",
        "name": PEOPLE[number],
        "description": f"scientist {number}",
        "image": [
            f"{number}.jpg",
            f"https://images.invalid/{number}.jpg",
            f"/DiffMEL/images/{folder}/Q{100 + number}.jpg",
        ],
    }


def diffmel_row(number: int) -> dict[str, Any]:
    """A row; the entity has two rows."""
    of = number % len(PEOPLE)
    offered = [candidate(other % len(PEOPLE), of) for other in (of, of + 1, of + 5)]
    return offered[0] | {
        "sentence": f"{PEOPLE[of]} in chapter {number}.",
        "difficulty": number % 3,
        "candidates": offered,
    }


def write_diffmel(root: Path) -> Path:
    """24 rows in two files that are no splits; `Q107` has no image in the folder that is looked into first."""
    root.mkdir(parents=True)
    write_json(root / "movies.json", [diffmel_row(number) for number in range(16)])
    write_json(root / "people.json", [diffmel_row(number) for number in range(16, 24)])
    write_json(root / "readme.json", {"version": 1})
    for of in range(len(PEOPLE)):
        for other in (of, of + 1, of + 5):
            name = candidate(other % len(PEOPLE), of)["image"][2]
            write_image(root / name.removeprefix("/DiffMEL/"), (other, 0, 0))
    return root
