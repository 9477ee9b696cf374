"""A MIMIC linker on disk: one folder, written whole, read only undamaged; the KB's parts are mapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dim.core.excerpts import one_line
from dim.core.folder_files import read_array
from dim.core.mapped import dropped
from dim.core.sealed import open_sealed, seal
from dim.errors import DataError
from dim.features.batch import Batch
from dim.linker.card import encoder_names, model_card
from dim.linker.entity_table import read_entities, write_entities
from dim.linker.folder import (
    MANIFEST,
    REMEDY,
    check_fingerprints,
    live_encoders,
    read_weights,
)
from dim.linker.knowledge import Knowledge
from dim.linker.manifest import FieldFacts, MIMICManifest
from dim.linker.method_files import check_classes, write_method
from dim.linker.ranked import card_of_ranker, ranker_row, read_names, read_ranker
from dim.linker.recipe import (
    SAVE_AGAIN,
    check_widths,
    load_weights,
    located,
    make,
)
from dim.methods.mimic.asked import Asked
from dim.methods.mimic.entity_cache import EntityCache
from dim.methods.mimic.network import MENTION, MIMICNetwork
from dim.reranker.entities import EntityFacts
from dim.reranker.ranker import Ranker
from dim.search.entity_names import EntityNames

CONTENT, FORMAT = "MIMIC linker", 1
PARTS = "parts"  #: The folder of the entities' parts: an array a file.
QUERIES, SCALES, LENGTHS = "queries", "scales", "lengths"

Parts = tuple[
    Asked, Knowledge, EntityCache, EntityNames, Ranker | None, dict[str, Any], EntityFacts | None
]  #: What a folder holds.


def write(
    place: Path,
    asked: Asked,
    knowledge: Knowledge,
    cache: EntityCache,
    names: EntityNames,
    ranker: Ranker | None,
    about: dict[str, Any],
    write_ranker: Callable[[Path], None],
) -> None:
    """Writes a linker's files into an empty folder, and seals it.

    Raises:
        DataError: The linker has classes that nothing would make again (`about["trusted"]` says which may be others
            than dim's), or files of an encoder are gone.
    """
    check_classes(about, MIMICNetwork)
    write_entities(knowledge, place, about.get("images", "paths"))
    _write_cache(cache, place / PARTS)
    names.save(place / "names")
    write_ranker(place)
    mention, entity = asked.task.field_widths
    facts: dict[str, Any] = {
        "next_row": knowledge.next_row,
        "fields": {"mention_fields": mention, "entity_fields": entity},
        **write_method(place, asked.task, asked.live, about, MIMICNetwork),
    }
    rows = {
        "encoders": encoder_names(about),
        "kept of the KB": f"{asked.task.cache_type}, {cache.nbytes / 1e6:,.1f} MB",
        **ranker_row(ranker),
    }
    card = model_card(about, knowledge, rows, by="scores", **card_of_ranker(ranker))
    (place / "README.md").write_text(card, encoding="utf-8")
    seal(place, CONTENT, FORMAT, facts, MANIFEST)


def read(folder: Path, device: str, trusted: Sequence[str] = (), image_root: str | Path | None = None) -> Parts:
    """The parts of a linker's folder.

    Raises:
        DataError: There is no linker, a damaged one, one of another format, or its encoders are not what they were.
    """
    manifest = open_sealed(folder, CONTENT, FORMAT, MANIFEST, REMEDY, MIMICManifest)
    recipe = located(manifest["about"]["recipe"], folder, manifest["files"])
    about = manifest["about"] | {"recipe": recipe}  # a later `write` finds the encoders' files
    task, live = make(recipe, device, MIMICNetwork, trusted)
    task.check()
    like = _made(task, manifest["fields"], read_weights(folder / "model.safetensors"))
    check_widths(live, manifest["fields"])
    check_fingerprints(manifest["fingerprints"], live_encoders(live))
    knowledge = read_entities(folder, manifest["next_row"], image_root)
    names = read_names(folder, knowledge)
    cache = _read_cache(folder / PARTS, like, len(knowledge))
    ranker, facts = read_ranker(folder, names.num_rows)
    return Asked(task, live), knowledge, cache, names, ranker, about, facts


def _made(task: MIMICNetwork, fields: FieldFacts, weights: Mapping[str, Tensor]) -> EntityCache:
    """Gives a model its network with its weights; returns what it makes of an entity, so that others are known by it.

    Raises:
        DataError: The weights are not those of such a network.
    """
    mention, entity = fields["mention_fields"], fields["entity_fields"]
    widths = {kind: mention[name] for kind, name in MENTION.items() if name in mention}
    try:
        with torch.device("meta"):  # the weights say whether these widths are theirs, before they take any memory
            task.make(widths)
        if (mention, entity) != task.field_widths or not widths:
            raise ValueError(f"fields {mention} and {entity}")
        load_weights(task, weights)
        task.eval().requires_grad_(False)
        with torch.inference_mode():
            return EntityCache.of([task.entity_parts(Batch.zeros(entity))], task.cache_type)
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError) as error:  # torch's own
        raise DataError(
            "the fields of a linker, their widths and its model's options",
            f"{type(error).__name__}: {one_line(error)}",
            SAVE_AGAIN,
        ) from error


def _arrays(cache: EntityCache) -> dict[str, Tensor]:
    named = {**cache.vectors, QUERIES: cache.queries, SCALES: cache.scales, LENGTHS: cache.lengths}
    return {name: value for name, value in named.items() if value is not None}


def _write_cache(cache: EntityCache, place: Path) -> None:
    place.mkdir()
    for name, value in _arrays(cache).items():
        np.save(place / f"{name}.npy", value.cpu().numpy(), allow_pickle=False)


def _read_cache(place: Path, like: EntityCache, size: int) -> EntityCache:
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
