"""A KB alone, without a mention: a user's table of entities, or a dataset folder whose mentions are not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dim.data.dataset import Dataset
from dim.data.files import check_there
from dim.data.missing_images import NamedImages
from dim.errors import ConfigError, DataError
from dim.releases.composed import compose_release
from dim.releases.found_images import look_up_images
from dim.releases.prepare import is_dataset_folder
from dim.releases.table_sources import find_entities
from dim.releases.tables import Tables

TEXT = "brief"  #: The variant of a dataset's texts that is read, where it has it and no other is asked for.


@dataclass(frozen=True)
class EntityFile:
    """Entities, and what a reader should know of how they were read.

    Attributes:
        name: Of the KB.
        entities: Columns `id`, `name`, `aliases`, `images` (relative to `image_root`), `type`, `popularity`.
        texts: What is said of each entity, or None.
        image_root: The folder of the images, which they do not leave.
        images: How many entities name images, and how many of these have none.
        notes: Sentences on what was taken for what.
        kb_hash: Of a dataset's entities; None: of a table.
        licence: Of a dataset; None: nobody says.
    """

    name: str
    entities: pd.DataFrame
    texts: Sequence[str | None]
    image_root: Path
    images: NamedImages
    notes: Sequence[str] = ()
    kb_hash: str | None = None
    licence: str | None = None


def read_entities(
    place: str | Path,
    images: Path | None = None,
    encoding: str | None = None,
    list_separator: str | None = None,
    allow_missing: bool = False,
    entity_text: str | None = None,
) -> EntityFile:
    """The entities at a place, in the order in which they stand there.

    Args:
        place: A table as `dim prepare` reads `entities` (a file of any name, or a folder that has it), or a dataset
            folder, such as one of a dump of Wikidata.
        images: The folder of the images, where a table's are not in its folder.
        encoding: Of a table; None: as its first bytes tell, else UTF-8.
        list_separator: What separates aliases and images in a cell of a table; None: told by the columns.
        allow_missing: Whether rows that cannot be read are left out, however many; else at most 1%.
        entity_text: The variant of a dataset's texts; None: `brief`, or the first.

    Raises:
        DataError: There is nothing, a column is missing, or rows cannot be read: the message names the first.
        ConfigError: An option does not go with what stands there.
    """
    place = Path(place)
    check_there(place, "a table of entities, or a dataset folder,", f"Check the path; it counts from {Path.cwd()}.")
    if is_dataset_folder(place):
        given = {"images": images, "encoding": encoding, "list_separator": list_separator}
        if used := [name for name, value in given.items() if value is not None]:
            found = f"the dataset folder {place}, which says that itself"
            raise ConfigError(f"a table beside {used[0]}", found, "Leave it out.")
        return _of_dataset(Dataset(place), entity_text)
    if entity_text is not None:
        raise ConfigError("a dataset folder beside entity_text", f"the table {place}", "Leave it out.")
    return _of_table(place, images, Tables(encoding, list_separator, allow_missing))


def _of_dataset(dataset: Dataset, variant: str | None) -> EntityFile:
    variants = dataset.variants
    chosen = variant or (TEXT if TEXT in variants else next(iter(variants), None))
    entities = dataset.entities
    texts: list[str | None] = [None] * len(entities)
    if chosen is not None:
        of_variant = dataset.texts(chosen)
        texts = [of_variant[entity_id] or None for entity_id in entities["id"]]
    return EntityFile(
        dataset.name,
        entities,
        texts,
        dataset.image_root,
        NamedImages("entity", int(entities["images"].map(len).astype(bool).sum())),
        kb_hash=dataset.kb_hash,
        licence=dataset.meta.get("licence"),
    )


def _of_table(place: Path, images: Path | None, reader: Tables) -> EntityFile:
    folder = place.parent if place.is_file() else place
    release = reader.read_kb(folder, find_entities(place))
    if release.write_images is not None:
        found = f"images inside of {place.name}"
        raise DataError("images as files beside a table", found, "Prepare it: dim prepare FOLDER OUT writes them.")
    compose_release(release)
    looked_up = look_up_images(release, images, folder)
    entities, texts = release.entities, dict[str, str]()
    for table in release.texts.values():
        assert isinstance(table, pd.DataFrame)
        texts |= dict(zip(table["entity_id"], table["text"], strict=True))
    named = next((of for of in looked_up.named if of.owner == "entity"), NamedImages("entity", 0))
    return EntityFile(
        place.stem if place.is_file() else place.resolve().name,
        entities,
        [texts.get(entity_id) for entity_id in entities["id"]],
        release.image_root or folder,
        named,
        [*looked_up.said, *release.notes],
    )
