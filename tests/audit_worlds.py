"""A small dataset without a flaw, in which a test plants one."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dim.data.dataset import Dataset, write_dataset

FIRST_NAMES = ["Ada", "Bea", "Cid", "Dan", "Eva"]
SURNAMES = ["Ashby", "Brent", "Crowe", "Dixon", "Eaton", "Frost", "Gupta", "Hirst", "Irwin", "Joyce", "Klein", "Lloyd"]
FAMILIES_OF = {"train": (0, 1), "dev": (2, 3), "test": (4, 5)}


def entity_table() -> pd.DataFrame:
    """60 entities, five of each surname: E00 Ada Ashby, E01 Bea Ashby, … E05 Ada Brent …"""
    numbers = range(len(SURNAMES) * 5)
    return pd.DataFrame(
        {
            "id": [f"E{n:02d}" for n in numbers],
            "name": [f"{FIRST_NAMES[n % 5]} {SURNAMES[n // 5]}" for n in numbers],
            "images": [[f"kb/{n}.png"] for n in numbers],
        }
    )


def text_table() -> pd.DataFrame:
    return pd.DataFrame({"entity_id": entity_table()["id"], "text": [f"Text {n}." for n in range(60)]})


def mention_table() -> pd.DataFrame:
    """Eight rows a split: two golds of each of its two families, twice each, by their surname."""
    rows = []
    for split, families in FAMILIES_OF.items():
        for number in range(8):
            family, member = families[number // 4], number % 2
            rows.append(
                {
                    "id": f"{split}-{number}",
                    "split": split,
                    "mention": SURNAMES[family],
                    "context": f"{SURNAMES[family]} was seen at {split} {number}",
                    "entity_id": f"E{family * 5 + member:02d}",
                    "images": [f"m/{split}{number}.png"],
                    "caption": f"somebody at {split} {number}",
                    "attributes": f'{{"row": "{split}/{number}"}}',
                }
            )
    return pd.DataFrame(rows).set_index("id", drop=False)


def picture(seed: int, size: int = 96) -> Image.Image:
    """A picture of 8 × 8 random grey squares, smoothed; another seed is another picture."""
    squares = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    return Image.fromarray(squares).resize((size, size), Image.Resampling.BICUBIC).convert("RGB")


def draw(folder: Path) -> Path:
    """Every picture that the tables name."""
    for sub in ("kb", "m"):
        (folder / sub).mkdir(parents=True)
    for n in range(60):
        picture(n).save(folder / "kb" / f"{n}.png")
    for n, paths in enumerate(mention_table()["images"]):
        picture(1000 + n).save(folder / paths[0])
    return folder


def write_world(
    root: Path, mentions: pd.DataFrame | None = None, entities: pd.DataFrame | None = None, **meta: object
) -> Dataset:
    """The dataset in root/data; pictures are looked for in root/images."""
    return write_dataset(
        root / "data",
        name="world",
        entities=entity_table() if entities is None else entities,
        texts={"brief": text_table()},
        mentions=mention_table() if mentions is None else mentions,
        image_root="../images",
        **meta,
    )
