"""Mentions of people who do not exist, with images of noise, for timing GEMEL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.random_lm import NUM_WORDS
from dim.data.dataset import write_dataset
from dim.demo.vocabulary import surnames
from dim.evaluation.protocols import Generative
from dim.features.batch import FeatureTable
from dim.training.datamodule import LinkingData, LinkingDataModule

IMAGE_WIDTH = 768  # of CLIP ViT-L/14
_POOL = 256  # mentions that examples are drawn from
_NUM_CONTEXT_WORDS = (14, 35)  # the fewest and one past the most: about 40 tokens


class MadeUpMentions(LinkingDataModule):
    """Mentions of made-up names in texts of made-up words, with random image features.

    Args:
        folder: Where the dataset and the tree of names are written.
        names: One an entity.
        num_asked: Mentions to be answered, the first rows; others follow as examples.
        rng: Decides everything.
    """

    def __init__(self, folder: Path, names: list[str], num_asked: int, rng: np.random.Generator) -> None:
        super().__init__(root=folder / "dataset", cache_dir=folder / "cache", protocol=Generative())
        count = num_asked + _POOL
        gold = rng.integers(len(names), size=count)
        strings = [names[row].rsplit(" ", 1)[-1] for row in gold.tolist()]
        words = np.array(surnames(NUM_WORDS))
        mentions = {
            "id": [f"m{i}" for i in range(count)],
            "split": ["test"] * num_asked + ["train"] * _POOL,
            "mention": strings,
            "context": [_context(string, words, rng) for string in strings],
            "entity_id": [f"e{row}" for row in gold.tolist()],
        }
        dataset = write_dataset(
            self.root,
            name="made up",
            entities=pd.DataFrame({"id": [f"e{row}" for row in range(len(names))], "name": names}),
            texts={},
            mentions=pd.DataFrame(mentions),
        )
        features = torch.from_numpy(rng.standard_normal((count, IMAGE_WIDTH), dtype=np.float32))
        self._data = LinkingData(
            dataset=dataset,
            mention_fields={"image": FeatureTable(features, torch.arange(count))},
            entity_fields={},
            gold=torch.from_numpy(gold),
            candidates=None,
            protocol=self.protocol,
            read_texts=lambda: [None] * len(names),
            fingerprints={},
        )


def _context(mention: str, words: NDArray[np.str_], rng: np.random.Generator) -> str:
    drawn = rng.choice(words, rng.integers(*_NUM_CONTEXT_WORDS)).tolist()
    drawn.insert(int(rng.integers(len(drawn))), mention)
    return " ".join(drawn)
