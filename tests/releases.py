"""Small fake releases, each written in its raw format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

PEOPLE = (
    "Ada Lovelace",
    "Alan Turing",
    "Grace Hopper",
    "Edsger Dijkstra",
    "Barbara Liskov",
    "Donald Knuth",
    "Radia Perlman",
    "Tony Hoare",
)
ROWS = {"train": range(20), "dev": range(20, 24), "test": range(24, 28)}


def qid(number: int) -> str:
    """The id of the entity that row `number` is about."""
    return f"Q{100 + number % len(PEOPLE)}"


def row(number: int) -> dict[str, Any]:
    """Row `number`; rows 2n and 2n + 1 share caption and image."""
    name = PEOPLE[number % len(PEOPLE)]
    surname = name.split()[1]
    caption = number // 2
    other = PEOPLE[(number ^ 1) % len(PEOPLE)].split()[1]
    first, second = sorted((surname, other))
    return {
        "id": f"{caption}-{number % 2}",
        "sentence": f"{first} and {second} at meeting {caption}",
        "imgPath": f"{caption}.jpg",
        "mentions": surname,
        "entities": name,
        "answer": qid(number),
    }


def write_image(path: Path, colour: tuple[int, int, int] = (200, 40, 40)) -> None:
    """Writes an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def write_json(path: Path, value: Any) -> None:
    """Writes plain JSON."""
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def edit_json(path: Path, **changes: Any) -> None:
    """Sets keys of the JSON object at `path`; None removes a key."""
    value = json.loads(path.read_text(encoding="utf-8")) | changes
    write_json(path, {key: item for key, item in value.items() if item is not None})


def write_dim_release(root: Path, images: bool = False) -> Path:
    """Layout 1: 20 train, 4 dev and 4 test rows over 8 entities; `Q107` has no brief text."""
    root.mkdir(parents=True)
    ids = [f"Q{100 + number}" for number in range(len(PEOPLE))]
    for split, numbers in ROWS.items():
        write_json(root / f"{split}.json", {row(number)["id"]: row(number) for number in numbers})
    write_json(root / "qid2ne.json", dict(zip(ids, PEOPLE, strict=True)))
    write_json(root / "qids_ordered.json", ids[::-1])
    write_json(root / "brief.json", {entity_id: f"Occupation: scientist {entity_id}." for entity_id in ids[:-1]})
    write_json(root / "brief_long.json", {entity_id: f"A long text of {entity_id}." for entity_id in ids})
    write_json(root / "search_top100.json", {"Turing": ["Q101", "Q100", "Q999"]})
    if images:
        for caption in range(14):
            write_image(root / "images" / f"{caption}.jpg")
    return root


def write_melbench(root: Path) -> Path:
    """Layout 6: `Wikidata-MEL.json`, two mentions a caption."""
    root.mkdir(parents=True)
    captions = {}
    for number in range(0, 28, 2):
        rows = [row(number), row(number + 1)]
        captions[str(number)] = {"id": str(number), "sentence": rows[0]["sentence"]} | {
            name: [item[name] for item in rows] for name in ("mentions", "entities", "answer")
        }
    write_json(root / "Wikidata-MEL.json", captions)
    return root


def entity_rows() -> list[dict[str, Any]]:
    """Layout 8: entities with integer ids."""
    return [
        {
            "id": number,
            "name": name,
            "description": f"Scientist number {number}.",
            "aliases": f"{name.split()[1]}|Professor {name.split()[1]}",
            "image": f"kb/{number}.jpg",
            "popularity": 10.5 * number,
            "born": 1900 + number,
        }
        for number, name in enumerate(PEOPLE)
    ]


def mention_rows() -> list[dict[str, Any]]:
    """Layout 8: mentions without a column `split`."""
    return [
        {
            "mention": item["mentions"],
            "context": item["sentence"],
            "entity_id": str(number % len(PEOPLE)),
            "image": item["imgPath"],
            "topic": "science",
        }
        for number, item in ((number, row(number)) for number in range(28))
    ]


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows as CSV, JSON lines or Parquet, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(item) + "\n" for item in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def write_tables(root: Path, suffix: str = ".csv") -> Path:
    """Layout 8: both tables in one format."""
    write_table(root / f"entities{suffix}", entity_rows())
    write_table(root / f"mentions{suffix}", mention_rows())
    return root
