"""Which files in a folder are a user's tables: one a table, one a split, or the shards of a Hugging Face dataset.

| the user has | read as |
|---|---|
| `entities.csv`, `mentions.csv` (any of `SUFFIXES`) | the two tables |
| `train.csv`, `validation.csv` (`valid`, `val`, `dev`), `test.csv`, `tune.csv` | the mentions, by split |
| `train-00000-of-00002.parquet` … | one file after the other |
| the same in `data/`, or in the folders `entities/` and `mentions/` | the same |
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from dim.data.files import list_names
from dim.data.table_files import SUFFIXES
from dim.errors import DataError

ENTITIES, MENTIONS = "entities", "mentions"
FOLDERS = ("data", ENTITIES, MENTIONS)  #: The subfolders that may hold them.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "tune": "tune",
    "dev": "dev",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "test": "test",
}
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")


@dataclass(frozen=True)
class Source:
    """A file that holds a table, or a part of it.

    Attributes:
        path: The file.
        split: Of its mentions, where its name says it.
        is_first: Whether it is a table by itself, or the first shard of one.
    """

    path: Path
    split: str | None = None
    is_first: bool = True


@dataclass(frozen=True)
class Sources:
    """The files of both tables, in the order in which they are read."""

    entities: list[Source]
    mentions: list[Source]


def has_tables(root: Path) -> bool:
    """Tells by the names of files whether one of the tables stands in `root`; of a lone one reading says what lacks."""
    found = _tables(root)
    return ENTITIES in found or MENTIONS in found


def find_tables(root: Path) -> Sources:
    """The files of both tables.

    Raises:
        DataError: One of them is missing, stands there twice, or lacks shards.
    """
    found = _tables(root)
    entities = found.get(ENTITIES, {})
    _check_one(root, ENTITIES, entities)
    return Sources(_sources(entities), _mentions_of(root, found))


def _mentions_of(root: Path, found: dict[str, dict[str, list[Path]]]) -> list[Source]:
    found = {table: files for table, files in found.items() if table != ENTITIES}
    if MENTIONS in found and len(found) > 1:
        raise DataError(
            f"mentions in one table, or in one a split, in {root}",
            _named(root, *found.values()),
            "Remove or rename what is not meant.",
        )
    if not found:
        _check_one(root, MENTIONS, {})
    if set(found) == {"train"}:  # what a dataset without splits is called
        found = {MENTIONS: found["train"]}
    mentions = []
    for table in (MENTIONS, *dict.fromkeys(SPLIT_NAMES.values())):
        if table in found:
            _check_one(root, table, found[table])
            split = None if table == MENTIONS else table
            mentions += _sources(found[table], split)
    return mentions


def find_mentions(place: Path) -> list[Source]:
    """The files of mentions, where the KB stands elsewhere: a file of any name, or those in a folder.

    Raises:
        DataError: There is none, or it stands there twice, or lacks shards.
    """
    return [Source(place)] if place.is_file() else _mentions_of(place, _tables(place))


def find_entities(place: Path) -> list[Source]:
    """The files of a table of entities: a file of any name, or those of that name in a folder.

    Raises:
        DataError: There is none, or several, or shards are missing.
    """
    if place.is_file():
        return [Source(place)]
    files = _tables(place).get(ENTITIES, {})
    _check_one(place, ENTITIES, files)
    return _sources(files)


def _sources(files: dict[str, list[Path]], split: str | None = None) -> list[Source]:
    return [Source(path, split, place == 0) for paths in files.values() for place, path in enumerate(paths)]


def _tables(root: Path) -> dict[str, dict[str, list[Path]]]:
    """Table or split → what its files are called without number and place → its files."""
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    if root.is_file():
        return found
    for folder in ("", *FOLDERS):
        place = root / folder
        if folder and not place.is_dir():
            continue
        for name in sorted(list_names(place)):
            path = place / name
            if path.suffix.lower() not in SUFFIXES:
                continue
            shard = _SHARD.fullmatch(path.stem)
            stem = (shard["stem"] if shard else path.stem).lower()
            table = SPLIT_NAMES.get(stem, stem)
            if folder == ENTITIES:
                table = ENTITIES if table in ("train", ENTITIES) else ""
            if table in (ENTITIES, MENTIONS, *SPLIT_NAMES.values()):
                called = f"{stem}-of-{shard['count']}{path.suffix}" if shard else f"{folder}/{name}"
                found[table][f"{folder}/{called}"].append(path)
    return found


def _named(root: Path, *tables: dict[str, list[Path]]) -> str:
    """The files of tables, for a message."""
    return " and ".join(
        sorted(str(path.relative_to(root)) for files in tables for paths in files.values() for path in paths)
    )


def _check_one(root: Path, table: str, files: dict[str, list[Path]]) -> None:
    if len(files) != 1:
        raise DataError(
            f"one of {', '.join(f'{table}{suffix}' for suffix in SUFFIXES)} in {root}",
            _named(root, files) or "none of them",
            "Remove or rename the one that is not meant." if files else "Add the table.",
        )
    paths = next(iter(files.values()))
    shards = [shard for path in paths if (shard := _SHARD.fullmatch(path.stem))]
    if shards and [int(shard["number"]) for shard in shards] != list(range(int(shards[0]["count"]))):
        raise DataError(
            f"{int(shards[0]['count'])} shards of {table} in {paths[0].parent}",
            ", ".join(path.name for path in paths[:5]),
            "Download the others.",
        )
