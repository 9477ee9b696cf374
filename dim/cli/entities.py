"""`dim add` and `dim remove`: the entities of a linker's folder come and go, all that are named or none."""

from __future__ import annotations

from pathlib import Path

from dim.display.counts import count_of
from dim.display.terminal import Console
from dim.linker import Linker
from dim.linker.changed import changed_folder
from dim.linker.untrained import knowledge_at
from dim.releases.entity_file import read_entities


def add(
    folder: Path,
    entities: Path,
    images: Path | None = None,
    encoding: str | None = None,
    list_separator: str | None = None,
    allow_missing: bool = False,
    image_root: Path | None = None,
    trust: str | None = None,
) -> None:
    """Adds the entities of a table to a linker's folder, all or none; nothing is trained.

    Killed at any moment, the folder is as it was or whole. A server of it answers by them after SIGHUP.

    Args:
        folder: A folder that `dim linker`, `dim export` or `Linker.save` wrote.
        entities: A table, or a dataset folder, as `dim linker` takes it.
        images: The folder of the images, where they are not in that of the table.
        encoding: Of the table; the default is told by its first bytes, else UTF-8.
        list_separator: What separates aliases and images in a cell; the default is `|` and, where no cell has it, `;`.
        allow_missing: Leave rows out that cannot be read, however many; else at most 1%.
        image_root: Where the images of the linker's KB stand that are not in the folder.
        trust: Packages, separated by commas, whose classes the folder may name; they are imported.
    """
    source = read_entities(entities, images, encoding, list_separator, allow_missing)
    with changed_folder(folder, "dim add", trust, image_root) as linker:
        given = list(knowledge_at(source, linker.reads_images))
        linker.add_entities(given)
    _say(f"added: {len(given):,}", linker, folder)


def remove(folder: Path, ids: list[str], image_root: Path | None = None, trust: str | None = None) -> None:
    """Takes entities out of a linker's folder, all that are named or none.

    Args:
        folder: A folder that `dim linker`, `dim export` or `Linker.save` wrote.
        ids: Of the entities.
        image_root: Where the images of the linker's KB stand that are not in the folder.
        trust: Packages, separated by commas, whose classes the folder may name; they are imported.
    """
    with changed_folder(folder, "dim remove", trust, image_root) as linker:
        linker.remove_entities(ids)
    _say(f"removed: {len(set(ids)):,}", linker, folder)


def _say(what: str, linker: Linker, folder: Path) -> None:
    console = Console()
    console.say(f"{what}; {folder} has {count_of(len(linker), 'entity')} now", highlight=False)
    console.say("a server of it answers by them after SIGHUP", highlight=False)
