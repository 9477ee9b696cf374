"""Layout 3, small: WikiDiverse at both levels, in the raw format."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path
from typing import Any

from releases import PEOPLE, ROWS, row, write_image, write_json

WIKI = "https://en.wikipedia.org/wiki/"
COMMONS = "https://upload.wikimedia.org/wikipedia/commons/0/06/"
FILES = {"train": "train", "dev": "valid", "test": "test"}


def image_url(caption: int) -> str:
    """The image of a caption; the file names hold what URLs quote."""
    return f"{COMMONS}Meeting%2C_No._{caption}.JPG"


def image_name(caption: int) -> str:
    """Its local name: the md5 of the name as it stands in the URL."""
    return md5(f"Meeting%2C_No._{caption}.JPG".encode()).hexdigest() + ".JPG"


def annotation(number: int) -> list[Any]:
    """[mention, type, start, end, url] of row `number` of `releases.row`."""
    base = row(number)
    start = base["sentence"].index(base["mentions"])
    url = WIKI + base["entities"].replace(" ", "_")
    return [base["mentions"], "Person", start, start + len(base["mentions"]), url]


def caption_row(caption: int) -> list[Any]:
    """A row of the passage level: two mentions."""
    mentions = [annotation(2 * caption), annotation(2 * caption + 1)]
    return [row(2 * caption)["sentence"], image_url(caption), "science", mentions]


def mention_row(number: int, **changes: Any) -> list[Any]:
    """A row of the mention level; `changes` name its fields."""
    mention, kind, start, end, url = annotation(number)
    fields = {
        "sentence": row(number)["sentence"],
        "image_url": image_url(number // 2),
        "mention": mention,
        "type": kind,
        "left_context": ["at", "meeting"],
        "right_context": [" ", "be", "there"],
        "url": url,
        "candidates": [row(number)["entities"], f"{WIKI}Joan_Clarke"],
        "topic": "science",
        "start": start,
        "end": end,
    }
    assert not changes.keys() - fields.keys()
    return list((fields | changes).values())


def write_passages(root: Path) -> Path:
    """The passage level: 14 captions, 28 mentions."""
    root.mkdir(parents=True, exist_ok=True)
    for split, numbers in ROWS.items():
        captions = range(numbers.start // 2, numbers.stop // 2)
        write_json(root / f"{FILES[split]}.json", [caption_row(caption) for caption in captions])
    return root


def write_mentions(root: Path) -> Path:
    """The mention level with candidates: the same 28 mentions."""
    root.mkdir(parents=True, exist_ok=True)
    for split, numbers in ROWS.items():
        write_json(root / f"{FILES[split]}_w_10cands.json", [mention_row(number) for number in numbers])
    return root


def write_entity_files(root: Path) -> Path:
    """Entity texts and entity image URLs; Liskov has no text, Hamilton no mention."""
    texts = [f"{name}@@@@{name} was a scientist.\n" for name in (*PEOPLE[::-1], "Margaret Hamilton")]
    texts[PEOPLE[::-1].index("Barbara Liskov")] = "Barbara Liskov@@@@\n"
    (root / "wikipedia_entity2desc_filtered.tsv").write_text("".join(texts), encoding="utf-8")
    images = [f"Ada_Lovelace@@@@{COMMONS}Ada.svg[AND]{COMMONS}Ada_2.jpg\n", f"Somebody_Else@@@@{COMMONS}Else.jpg\n"]
    (root / "wikipedia_entity2imgs.tsv").write_text("".join(images), encoding="utf-8")
    return root


def write_caption_images(root: Path) -> Path:
    """The images of the first 13 captions, under the name of the release's image package."""
    for caption in range(13):
        write_image(root / "wikinewsImgs" / image_name(caption))
    return root
