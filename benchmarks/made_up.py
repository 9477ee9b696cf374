"""A dataset of noise for timing encoders: texts of made-up words, JPEGs as heavy as photographs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dim.data.dataset import Dataset, write_dataset


def made_up_dataset(
    folder: Path, num_texts: int, num_images: int, size: tuple[int, int], seed: int, copies: int = 1
) -> Dataset:
    """Texts are entity names, so that each is one unique input; each image belongs to `copies` mentions without text.

    Args:
        folder: Where the images and the folder `dataset` are written; made if need be.
        num_texts: Texts of 1 to 40 words.
        num_images: JPEGs.
        size: Their width and height.
        seed: Of words and pixels.
        copies: Mentions that share an image.
    """
    random = np.random.default_rng(seed)
    words = np.array(["".join(random.choice(list("aeionrstl"), 3)) for _ in range(2000)])
    names = [f"{i} " + " ".join(random.choice(words, random.integers(1, 41))) for i in range(num_texts)]
    (folder / "images").mkdir(parents=True)
    for i in range(num_images):
        # Smooth noise: about as many bytes a pixel as a photograph.
        noise = Image.fromarray(random.integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        noise.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        (folder / "images" / f"{i}.jpg").write_bytes(buffer.getvalue())
    paths = [[f"{i}.jpg"] for i in range(num_images)] * copies
    return write_dataset(
        folder / "dataset",
        name="bench",
        entities=pd.DataFrame({"id": [f"e{i}" for i in range(num_texts)], "name": pd.Series(names, dtype=object)}),
        texts={"brief": pd.DataFrame({"entity_id": ["e0"], "text": [None]})},
        mentions=pd.DataFrame({"id": [f"m{i}" for i in range(len(paths))], "split": "train", "images": paths}),
        image_root=str(folder / "images"),
    )
