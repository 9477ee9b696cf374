"""Pictures that stand in for pictures that are not there, such as one `default.jpg` in hundreds of rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from stat import S_ISREG

import pandas as pd

from dim.core.files import content_hash
from dim.data.files import explain_read_errors
from dim.images.found_files import path_on_disk
from dim.images.regions import split_region

#: Owners (different captions, or entities) that share one picture: from here on it shows none of them.
MANY = 100


def find_placeholders(owners: Mapping[str, pd.DataFrame], files: Mapping[str, Path]) -> dict[str, str]:
    """The paths of placeholders, each with what it stands for, in words.

    They are told by their paths and, where there are files, by what these hold: under whatever names. What stands in
    for the images of mentions is no image of an entity either. A picture of which owners name regions, such as a map
    with hundreds of places, stands in for none of theirs.

    Args:
        owners: `mention` (columns `context`, `split`, `images`) and `entity` (`id`, `images`).
        files: Named path → its file, for those that are there.
    """
    paths = {
        owner: [[path for path in of if split_region(path)[1] is None] for of in table["images"]]
        for owner, table in owners.items()
    }
    whose = {
        owner: (table["context"] if owner == "mention" else table["id"]).tolist() for owner, table in owners.items()
    }
    at = {split_region(path)[0]: file for path, file in files.items()}
    contents = _contents(paths, whose, at)
    found: dict[str, str] = {}
    for owner, table in owners.items():
        splits = table["split"].dropna().tolist() if owner == "mention" else []
        splits = splits if len(splits) == len(table) else []
        keys = [[contents.get(path, path) for path in dict.fromkeys(of)] for of in paths[owner]]
        many = shared_by_many(keys, whose[owner], splits)
        what = "captions" if owner == "mention" else "entities"
        told = {path for of in paths[owner] for path in of if contents.get(path, path) in many}
        for path in sorted(told):
            found.setdefault(path, f"{many[contents.get(path, path)]:,} {what}")
    same = {contents[path]: says for path, says in found.items() if path in contents}
    every = {path for of in paths.values() for row in of for path in row}
    return found | {path: same[contents[path]] for path in every if path not in found and contents.get(path) in same}


def _contents(
    paths: Mapping[str, Sequence[Sequence[str]]], whose: Mapping[str, Sequence[str]], at: Mapping[str, Path]
) -> dict[str, str]:
    """The content of the files that may be a placeholder: so many owners' files are of that size together."""
    of_size: defaultdict[int, set[str]] = defaultdict(set)
    owners: defaultdict[int, set[tuple[str, str]]] = defaultdict(set)
    sizes: dict[str, int] = {}
    for owner, rows in paths.items():
        for row, name in zip(rows, whose[owner], strict=True):
            for path in row:
                if path in at:
                    if path not in sizes:
                        about = path_on_disk(at[path]).stat()
                        sizes[path] = about.st_size if S_ISREG(about.st_mode) else -1
                    of_size[sizes[path]].add(path)
                    owners[sizes[path]].add((owner, name))
    many = [path for size, of in of_size.items() if size >= 0 and len(owners[size]) >= MANY for path in of]
    contents = {}
    for path in many:
        with explain_read_errors(at[path]):
            contents[path] = content_hash(path_on_disk(at[path]).read_bytes())
    return contents


def shared_by_many(
    keys: Sequence[Sequence[Hashable]], owners: Sequence[str], splits: Sequence[str | None]
) -> dict[Hashable, int]:
    """The pictures that stand for `MANY` owners or more, in every split that there is, and for how many.

    One photograph with a hundred mentions in one sentence is one owner's; a picture of a long document stands in one
    split.

    Args:
        keys: The pictures of each row, by what tells one from another (path, or content).
        owners: Of each row: its caption, or its entity; rows without one (empty) do not count.
        splits: Of each row, None where it has none; empty: the rows have no splits.

    Example:
        >>> rows = [("default.jpg",)] * 100
        >>> shared_by_many(rows, [f"caption {n}" for n in range(100)], [])
        {'default.jpg': 100}
        >>> shared_by_many(rows, ["one caption"] * 100, [])
        {}
    """
    met: defaultdict[Hashable, set[str]] = defaultdict(set)
    seen: defaultdict[Hashable, set[str | None]] = defaultdict(set)
    for row, (of, owner) in enumerate(zip(keys, owners, strict=True)):
        for key in of if owner else ():
            met[key].add(owner)
            seen[key].add(splits[row] if splits else None)
    every = set(splits) or {None}
    return {key: len(of) for key, of in met.items() if len(of) >= MANY and seen[key] >= every}
