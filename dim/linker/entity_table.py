"""The KB in a linker's folder: its table, and its images where they travel along."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dim.data.found_files import path_on_disk
from dim.data.missing_images import MAX_MISSING_IMAGES
from dim.errors import DataError
from dim.folder_files import read_parquet
from dim.linker.knowledge import SCHEMA, Knowledge, KnownEntity
from dim.options import check_choice

FILE, IMAGES = "entities.parquet", "images"
MOST_ROWS = 2**40  #: That a KB ever gives.

#: Whether a folder has the KB's images, their paths on this machine, or nothing of them.
KeptImages = Literal["copies", "paths", "none"]


def check_images(images: object) -> None:
    """Raises ConfigError where there is no such way to keep images; None is as before."""
    if images is not None:
        check_choice("images", images, get_args(KeptImages))


def write_entities(knowledge: Knowledge, place: Path, images: KeptImages) -> None:
    """Writes the KB into a folder. An image that is not to be found keeps its path.

    Raises:
        DataError: `copies` are asked for, and most of the images are gone (beyond `MAX_MISSING_IMAGES`).
    """
    if images == "copies":
        _check_sources(knowledge)
        (place / IMAGES).mkdir()
    entities = {
        row: replace(entity, images=_images(row, entity, place, images)) if entity.images else entity
        for row, entity in knowledge.entities.items()
    }
    pq.write_table(Knowledge(entities, knowledge.next_row).table(), place / FILE)


def read_entities(folder: Path, next_row: int) -> Knowledge:
    """The KB of a folder that `write_entities` wrote, its images where they stand now."""
    knowledge = Knowledge.from_table(_read_table(folder / FILE, next_row), next_row)
    for row, entity in knowledge.entities.items():
        if entity.images:
            here = tuple(str(folder.absolute() / image) for image in entity.images)  # an absolute path stays itself
            knowledge.entities[row] = replace(entity, images=here)
    return knowledge


def _read_table(file: Path, next_row: int) -> pa.Table:
    """The table, once it is what `Knowledge.table` gives. Raises DataError where it is not."""
    what, remedy = f"the entities of a linker in {file}", "Save the linker again, or get it again from where it came."
    table = read_parquet(file, what, remedy)
    try:
        table = table.select(SCHEMA.names).cast(SCHEMA)
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise DataError(what, f"another table ({' '.join(str(error).split())[:200]})", remedy) from error
    rows, ids = table["row"].to_numpy(), table["id"]
    if any(table[name].null_count for name in ("row", "id", "name")) or len(ids.unique()) < len(ids):
        raise DataError(what, "entities without an id or a name, or several of one id", remedy)
    if len(np.unique(rows)) < len(rows) or not 0 <= next_row < MOST_ROWS or not ((rows >= 0) & (rows < next_row)).all():
        raise DataError(what, f"rows that are not below {next_row}, each once", remedy)
    return table


def _check_sources(knowledge: Knowledge) -> None:
    named = [entity.images for entity in knowledge.entities.values() if entity.images]
    gone = [paths for paths in named if not any(path_on_disk(Path(path)).is_file() for path in paths)]
    if len(gone) > MAX_MISSING_IMAGES * len(named):
        raise DataError(
            f"the images of {len(named):,} entities, to copy them",
            f"{len(gone):,} entities without; tried {', '.join(paths[0] for paths in gone[:3])}",
            "Put the images back, or leave them where they are: --images paths (or none).",
        )


def _images(row: int, entity: KnownEntity, place: Path, images: KeptImages) -> tuple[str, ...]:
    if images == "none":
        return ()
    kept = []
    for number, image in enumerate(entity.images):
        source = path_on_disk(Path(image).absolute())
        target = Path(IMAGES) / f"{row}-{number}{source.suffix}"
        if images == "copies" and source.is_file():
            shutil.copyfile(source, place / target)
            source = target
        kept.append(str(source))
    return tuple(kept)
