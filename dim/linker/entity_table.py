"""The KB in a linker's folder: its table, and its images where they travel along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dim.core.arrow_file import map_arrow, write_arrow
from dim.core.choices import check_choice
from dim.data.given_values import check_half
from dim.data.missing_images import MAX_MISSING_IMAGES
from dim.errors import DataError
from dim.images.found_files import path_on_disk
from dim.images.reading import UnusableImageError, decode_image, find_image, num_decoders, read_image
from dim.images.regions import split_region, with_region
from dim.linker.entity_columns import SCHEMA
from dim.linker.image_roots import ImageRoots
from dim.linker.knowledge import Knowledge

FILE, IMAGES = "entities.arrow", "images"
MOST_ROWS = 2**40  #: That a KB ever gives.

#: Whether a folder has the KB's images, their paths on this machine, or nothing of them.
KeptImages = Literal["copies", "paths", "none"]


def check_images(images: object) -> None:
    """Raises ConfigError where there is no such way to keep images; None is as before."""
    if images is not None:
        check_choice("images", images, get_args(KeptImages))


def write_entities(knowledge: Knowledge, place: Path, images: KeptImages) -> None:
    """Writes the KB into a folder. Only what decodes as an image is copied; any other keeps its path.

    Raises:
        DataError: `copies` are asked for, and most of the images are gone (beyond `MAX_MISSING_IMAGES`).
    """
    table = knowledge.table()
    with_images = _rows_with_images(table)
    elsewhere = knowledge.images_elsewhere if images != "none" else {}
    if images == "copies":
        _check_sources(knowledge, with_images, elsewhere)
        knowledge.tell_of_images_elsewhere()
        (place / IMAGES).mkdir()
    pool = ThreadPoolExecutor(num_decoders())
    try:
        kept = dict(zip(with_images, pool.map(partial(_kept, knowledge, place, images), with_images), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)
    for row, outside in elsewhere.items():
        kept[row] = (*kept.get(row, ()), *outside)
    field = SCHEMA.field("images")
    column = pa.array([kept.get(row, ()) for row in table["row"].to_pylist()], field.type)
    write_arrow(table.set_column(SCHEMA.names.index("images"), field, column), place / FILE)


def read_entities(folder: Path, next_row: int, image_root: str | Path | None = None) -> Knowledge:
    """The KB of a folder that `write_entities` wrote.

    Its table is mapped: every text is looked at once, and stays on the disk, where several processes share it.

    Args:
        folder: It stands there, and so do its images; paths that lead out of it are not followed.
        next_row: As of `Knowledge`.
        image_root: Another folder that its images may stand in.
    """
    roots = ImageRoots(folder, () if image_root is None else (Path(image_root),))
    return Knowledge.from_table(_read_table(folder, next_row), next_row, roots)


def _read_table(folder: Path, next_row: int) -> pa.Table:
    """The table, once it is what `Knowledge.table` gives. Raises DataError where it is not."""
    file = folder / FILE
    what, remedy = f"the entities of a linker in {file}", "Save the linker again, or get it again from where it came."
    table = map_arrow(file, SCHEMA, what, remedy)
    if any(table[name].null_count for name in ("row", "id", "name")):
        raise DataError(what, "entities without a row, an id or a name", remedy)
    rows = table["row"].to_numpy()
    is_once = (rows[1:] > rows[:-1]).all() or len(np.unique(rows)) == len(rows)
    if not is_once or not 0 <= next_row < MOST_ROWS or not ((rows >= 0) & (rows < next_row)).all():
        raise DataError(what, f"rows that are not below {next_row}, each once", remedy)
    return table


def _check_sources(knowledge: Knowledge, with_images: list[int], elsewhere: Mapping[int, Sequence[str]]) -> None:
    named = {row: images for row in with_images if (images := knowledge.entities[row].images)}
    only_elsewhere = [row for row in elsewhere if row not in named]
    gone = [paths[0] for row, paths in named.items() if not any(_is_there(knowledge, row, path) for path in paths)]
    gone += [elsewhere[row][0] for row in only_elsewhere]
    total = len(named) + len(only_elsewhere)
    if len(gone) > MAX_MISSING_IMAGES * total:
        raise DataError(
            f"the images of {total:,} entities, to copy them",
            f"{len(gone):,} entities without; tried {', '.join(gone[:3])}",
            "Put the images back (those outside of a linker's folder: open it with image_root), or leave them where "
            "they are: --images paths (or none).",
        )


def _rows_with_images(table: pa.Table) -> list[int]:
    found: list[int] = table["row"].filter(pc.greater(pc.list_value_length(table["images"]), 0)).to_pylist()
    return found


def _is_there(knowledge: Knowledge, row: int, image: str) -> bool:
    try:
        return bool(find_image(Path(split_region(image)[0]), knowledge.image_root(row, image)))
    except UnusableImageError:
        return False


def _kept(knowledge: Knowledge, place: Path, images: KeptImages, row: int) -> tuple[str, ...]:
    """What the table says of an entity's images; their copies are written."""
    if images == "none":
        return ()
    kept = []
    for number, image in enumerate(knowledge.entities[row].images):
        file, box = split_region(image)
        source = path_on_disk(Path(file).absolute())
        if images == "copies" and (picture := _picture(source, knowledge.image_root(row, image))) is not None:
            source = Path(IMAGES) / f"{row}-{number}{source.suffix}"
            (place / source).write_bytes(picture)
        kept.append(str(source) if box is None else with_region(str(source), box))
        check_half("path of an image", kept[-1])
    return tuple(kept)


def _picture(file: Path, root: Path) -> bytes | None:
    """The bytes of a file that decodes as an image; None of any other."""
    try:
        data = read_image(file, root)
        decode_image(data, draft_side=1)  # a JPEG at an eighth of its size: it is read to its end all the same
        return data
    except UnusableImageError:
        return None
