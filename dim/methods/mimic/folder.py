"""What of MIMIC stands in its linker's folder alone: the KB's parts, which are mapped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dim.core.folder_files import read_array
from dim.core.mapped import dropped
from dim.errors import DataError
from dim.features.batch import Batch
from dim.linker.folder import REMEDY
from dim.linker.manifest import FieldFacts
from dim.linker.recipe import fitting_fields, load_weights
from dim.methods.mimic.entity_cache import EntityCache
from dim.methods.mimic.network import MENTION, MIMICNetwork

PARTS = "parts"  #: The folder of the entities' parts: an array a file.
QUERIES, SCALES, LENGTHS = "queries", "scales", "lengths"


def made(task: MIMICNetwork, fields: FieldFacts, weights: Mapping[str, Tensor]) -> EntityCache:
    """Gives a model its network with its weights; returns what it makes of an entity, so that others are known by it.

    Raises:
        DataError: The weights are not those of such a network.
    """
    mention, entity = fields["mention_fields"], fields["entity_fields"]
    widths = {kind: mention[name] for kind, name in MENTION.items() if name in mention}
    with fitting_fields():
        with torch.device("meta"):  # the weights say whether these widths are theirs, before they take any memory
            task.make(widths)
        if (mention, entity) != task.field_widths or not widths:
            raise ValueError(f"fields {mention} and {entity}")
        load_weights(task, weights)
        task.eval().requires_grad_(False)
        with torch.inference_mode():
            of_one = EntityCache.of([task.entity_parts(Batch.zeros(entity))], task.cache_type)
    return of_one


def _arrays(cache: EntityCache) -> dict[str, Tensor]:
    named = {**cache.vectors, QUERIES: cache.queries, SCALES: cache.scales, LENGTHS: cache.lengths}
    return {name: value for name, value in named.items() if value is not None}


def write_cache(cache: EntityCache, place: Path) -> None:
    """Writes the parts of entities into a new folder."""
    place.mkdir()
    for name, value in _arrays(cache).items():
        np.save(place / f"{name}.npy", value.cpu().numpy(), allow_pickle=False)


def read_cache(place: Path, like: EntityCache, size: int) -> EntityCache:
    """The parts of `size` entities, on their files: pages come into memory as they are read.

    Raises:
        DataError: They are of another method, of other entities, or not finite.
    """
    what, found = f"the parts of {size:,} entities in {place}", dict[str, Tensor]()
    for name, one in _arrays(like).items():
        expected = one.numpy()
        array = read_array(place / f"{name}.npy", what, REMEDY, expected.dtype.kind, expected.ndim, "c")
        if array.dtype != expected.dtype or array.shape[1:] != expected.shape[1:] or not _is_finite(array):
            raise DataError(what, f"{name} of {array.dtype} {list(array.shape)}, or not finite", REMEDY)
        found[name] = torch.from_numpy(dropped(array))
    lengths, queries, scales = (found.pop(name, None) for name in (LENGTHS, QUERIES, SCALES))
    assert lengths is not None
    num_tokens = 0 if queries is None else len(queries)
    is_whole = all(len(each) == size for each in (lengths, *found.values()))
    if not is_whole or (lengths < 0).any() or int(lengths.sum()) != num_tokens:
        raise DataError(what, "those of another KB", REMEDY)
    if scales is not None and len(scales) != num_tokens:
        raise DataError(what, f"{len(scales):,} scales of {num_tokens:,} tokens", REMEDY)
    return EntityCache(found, queries, scales, lengths.cumsum(0) - lengths, lengths)


def _is_finite(array: NDArray[Any]) -> bool:
    step = max(1, 2**24 // max(1, array[0].size if len(array) else 1))
    return all(np.isfinite(array[start : start + step]).all() for start in range(0, len(array), step))
