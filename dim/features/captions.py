"""What a captioner says of images, kept in the feature cache as `captions.parquet`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from dim.engine import Block, Workplace
from dim.features.cache import FeatureCache, Recipe
from dim.features.inputs import Inputs

BLOCK_SIZE = 256


def cached_captions(
    cache: FeatureCache, captioner: str, inputs: Inputs, blocks: Callable[[Workplace], Iterator[Block]]
) -> Sequence[str | None]:
    """A caption for each owner, None where there is no usable image or nothing was said.

    Args:
        cache: Where finished captions are found and missing ones are kept.
        captioner: The captioner's fingerprint.
        inputs: The images.
        blocks: Captions the pending blocks of a workplace (see `dim.features.blocks.caption_blocks`).
    """
    recipe = captions_recipe(captioner)

    def finish(work: Workplace) -> None:
        said = [caption for index in sorted(work.notes) for caption in work.notes[index]["captions"]]
        table = pd.DataFrame(
            {"images": pd.Series(inputs.unique, dtype=object), "caption": pd.Series(said, dtype=object)}
        )
        table.to_parquet(work.result / "captions.parquet", index=False)

    features = cache.find(recipe, inputs) or cache.compute(recipe, inputs, blocks, finish)
    captions = pd.read_parquet(cache.folder(recipe, inputs) / "captions.parquet")["caption"].tolist()
    return [captions[row] if row >= 0 and isinstance(captions[row], str) else None for row in features.rows]


def captions_recipe(captioner: str) -> Recipe:
    """Captions as features of no width: their blocks are kept like any other."""
    return Recipe("captions", "image", captioner, width=0, block_size=BLOCK_SIZE)
