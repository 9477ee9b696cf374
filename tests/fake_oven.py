"""OVEN and InfoSeek, small: questions about images over a KB of pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fake_fissfuse import write_lines
from releases import PEOPLE, qid, write_image


def page(number: int, **changes: Any) -> dict[str, Any]:
    """A page of `Wiki6M_ver_1_0.jsonl`."""
    return {
        "wikidata_id": f"Q{100 + number}",
        "wikipedia_title": PEOPLE[number % len(PEOPLE)],
        "wikipedia_content": f"A whole article about {number}. " * 20,
        "wikipedia_image_url": None,
        "wikipedia_summary": f"scientist {number}",
    } | changes


def question(number: int, data_set: str, **changes: Any) -> dict[str, Any]:
    """A row of OVEN."""
    return {
        "data_id": f"{data_set}_{number:08d}",
        "image_id": f"oven_{number % 3:02d}{number:06d}",
        "question": "who is this person?",
        "entity_id": qid(number),
        "entity_text": PEOPLE[number % len(PEOPLE)],
        "data_split": f"{data_set}_seen",
    } | changes


def write_images(root: Path, numbers: range) -> None:
    """Images by the first two digits of their number, with several suffixes; the last is missing."""
    for number in numbers[:-1]:
        image_id = question(number, "")["image_id"]
        suffix = (".jpg", ".JPEG", ".png")[number % 3]
        write_image(root / "oven_images" / image_id[5:7] / f"{image_id}.jpg", (number, 0, 0))
        path = root / "oven_images" / image_id[5:7] / f"{image_id}.jpg"
        path.rename(path.with_suffix(suffix))


def write_oven(root: Path) -> Path:
    """20 train rows in two sets, 8 val rows, 2 test rows without entities, 8 pages of which one has an image."""
    (root / "oven_data").mkdir(parents=True)
    data = root / "oven_data"
    write_lines(data / "oven_entity_train.jsonl", [question(n, "oven_entity_train") for n in range(16)])
    write_lines(data / "oven_query_train.jsonl", [question(n, "oven_query_train") for n in range(16, 20)])
    write_lines(data / "oven_entity_val.jsonl", [question(n, "oven_entity_val") for n in range(20, 28)])
    hidden = [{k: v for k, v in question(n, "oven_entity_test").items() if "entity" not in k} for n in (28, 29)]
    write_lines(data / "oven_entity_test.jsonl", hidden)
    write_lines(root / "Wiki6M_ver_1_0.jsonl", [page(number) for number in range(8)])
    write_images(root, range(28))
    write_image(root / "wikipedia_images_full" / "Q100" / "Q100.jpg")
    return root


def write_infoseek(root: Path) -> Path:
    """The same images asked about; the entities stand in files of their own."""
    root.mkdir(parents=True)
    for split, numbers in {"train": range(20), "val": range(20, 28)}.items():
        rows = [question(number, f"infoseek_{split}") for number in numbers]
        asked = [{k: v for k, v in item.items() if "entity" not in k} | {"answer": ["x"]} for item in rows]
        write_lines(root / f"infoseek_{split}.jsonl", asked)
        write_lines(
            root / f"infoseek_{split}_withkb.jsonl",
            [{name: item[name] for name in ("data_id", "entity_id", "entity_text")} for item in reversed(rows)],
        )
    write_lines(
        root / "Wiki6M_ver_1_0_title_only.jsonl",
        [{k: page(n)[k] for k in ("wikidata_id", "wikipedia_title")} for n in range(8)],
    )
    write_images(root, range(28))
    return root
