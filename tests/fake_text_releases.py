"""ZELDA and ShadowLink, small: text alone, offsets, and the traps of the real files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fake_fissfuse import write_lines
from releases import PEOPLE, row, write_json


def document(caption: int) -> dict[str, Any]:
    """A document with two annotated names; the text is long before them."""
    first, second = row(2 * caption), row(2 * caption + 1)
    text = f"{'Once upon a time. ' * 20}{first['sentence']}"
    spans = [
        [text.index(item["mentions"]), text.index(item["mentions"]) + len(item["mentions"])] for item in (first, second)
    ]
    return {
        "id": f"doc {caption}",
        "text": text,
        "index": spans,
        "wikipedia_ids": [int(item["answer"][1:]) for item in (first, second)],
        "wikipedia_titles": [first["entities"], second["entities"]],
    }


def write_zelda(root: Path, descriptions: bool = True) -> Path:
    """10 documents to train on, 2 of each of two test sets, as the zip of the release has them."""
    for folder in ("train_data", "test_data/jsonl", "other"):
        (root / folder).mkdir(parents=True)
    write_lines(root / "train_data" / "zelda_train.jsonl", [document(caption) for caption in range(10)])
    write_lines(root / "test_data" / "jsonl" / "test_aida-b.jsonl", [document(10), document(11)])
    write_lines(root / "test_data" / "jsonl" / "test_tweeki.jsonl", [document(12), document(13)])
    if descriptions:
        kb = [
            {"wikipedia_id": 100 + n, "wikipedia_title": name, "description": f"{name} was a scientist."}
            for n, name in enumerate(PEOPLE)
        ]
        write_lines(root / "other" / "entity_descriptions.jsonl", kb)
    return root


def shadow_row(number: int, **changes: Any) -> dict[str, Any]:
    """One mention of a short text; `span` is start and length."""
    made = row(number)
    return {
        "example": made["sentence"],
        "span": [made["sentence"].index(made["mentions"]), len(made["mentions"])],
        "wiki_id": 100 + number % len(PEOPLE),
        "entity_name": made["entities"],
        "entity_space_name": made["mentions"],
    } | changes


def write_shadowlink(root: Path) -> Path:
    """Eight rows each of Top, Shadow and Tail; those of Tail share no name."""
    root.mkdir(parents=True)
    write_json(root / "Top.json", [shadow_row(number) for number in range(8)])
    write_json(root / "Shadow.json", [shadow_row(number) for number in range(8, 16)])
    tail = [shadow_row(number) for number in range(16, 24)]
    write_json(root / "Tail.json", [{k: v for k, v in item.items() if k != "entity_space_name"} for item in tail])
    return root
