"""DRIN's raw data, small: WikiMEL and WikiDiverse in folders by kind of file."""

from __future__ import annotations

from pathlib import Path

from fake_wikidiverse import write_caption_images, write_entity_files, write_mentions
from releases import PEOPLE, ROWS, row, write_image, write_json

FILES = {"train": "train", "dev": "valid", "test": "test"}


def key(number: int) -> str:
    """The key of row `number`: `<caption>-<n>`."""
    return f"{100 + number // 2}-{number % 2}"


def write_drin_wikimel(root: Path) -> Path:
    """20 train, 4 dev and 4 test rows; the test file is an array; images have several suffixes, `Q107` has none."""
    ids = [f"Q{100 + number}" for number in range(len(PEOPLE))]
    for folder in ("candidates/top100", "entities", "mentions"):
        (root / folder).mkdir(parents=True)
    for split, numbers in ROWS.items():
        rows = {key(n): row(n) | {"id": key(n)} for n in numbers}
        write_json(root / "mentions" / f"WIKIMEL_{FILES[split]}.json", list(rows.values()) if split == "test" else rows)
    write_json(root / "candidates" / "qid2ne.json", dict(zip(ids, PEOPLE, strict=True)))
    write_json(root / "candidates" / "ne2qid.json", dict(zip(PEOPLE, ids, strict=True)))
    lines = ["\t".join([key(n), row(n)["answer"], "Q103", "Q999"]) for n in range(28)]
    (root / "candidates" / "top100" / "candidates-answer.tsv").write_text("\n".join(lines) + "\n")
    (root / "candidates" / "top100" / "candidates.tsv").write_text("100-0\tQ5\n")
    write_json(root / "entities" / "qid2abs.json", {i: f"Sex: female. Number: {i}." for i in ids})
    write_json(root / "entities" / "qid2brief.json", {i: f"{i} is a scientist." for i in ids})
    for number in range(7):
        write_image(root / "entities" / "cleaned-images" / f"Q{100 + number}.png", (0, number, 0))
    for caption in range(14):
        suffix = "JPG" if caption == 3 else "jpg"
        write_image(root / "mentions" / "KVQAimgs" / f"{100 + caption}.{suffix}", (caption, 0, 0))
    return root


def write_drin_wikidiverse(root: Path) -> Path:
    """WikiDiverse with candidates in its folder, texts and image URLs in theirs."""
    for folder in ("candidates", "entities", "mentions"):
        (root / folder).mkdir(parents=True)
    write_mentions(root / "candidates")
    write_entity_files(root / "entities")
    write_json(root / "entities" / "entity2brief_train.json", {"Ada Lovelace": "a text"})
    write_json(root / "mentions" / "train.json", [])
    (write_caption_images(root) / "wikinewsImgs").rename(root / "images")
    return root
