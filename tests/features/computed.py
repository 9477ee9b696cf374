"""Features that a cache has, or is given now."""

from collections.abc import Callable, Iterator

from dim.core.jobs import Block, Workplace
from dim.features.cache import FeatureCache, FieldFeatures, Recipe
from dim.features.inputs import Inputs


def computed(
    cache: FeatureCache, recipe: Recipe, inputs: Inputs, blocks: Callable[[Workplace], Iterator[Block]]
) -> FieldFeatures:
    """The features, which `blocks` computes where they are missing."""
    with cache.missing(recipe, inputs) as work:
        if work is not None:
            for block in blocks(work):
                work.write(block)
    return cache.written(recipe, inputs)
