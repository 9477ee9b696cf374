"""Where MELBench's file stands: in the folder, one or two folders down, or still packed as in the repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from dim.data.files import list_names
from dim.errors import DataError

DATASETS = ("Richpedia-MEL", "Wikidata-MEL", "Weibo-MEL")
FILES = tuple(f"{dataset}.json" for dataset in DATASETS)


def is_melbench(root: Path) -> bool:
    """Tells by the names of the files and of their archives."""
    return any(True for _ in _present(root, ".json")) or any(True for _ in _present(root, ".zip"))


def choose_file(root: Path) -> Path:
    """The one file of the release; `root` may be the file itself.

    Raises:
        DataError: There is none, only a packed one, or more than one.
    """
    if root.is_file():
        return root
    found, packed = list(_present(root, ".json")), list(_present(root, ".zip"))
    if not found and packed:
        commands = "; ".join(f"unzip {quote(str(path))} -d {quote(str(path.parent))}" for path in packed)
        raise DataError(
            f"one of {', '.join(FILES)} in {root}",
            f"{', '.join(str(path.relative_to(root)) for path in packed)}, not unpacked",
            f"Unpack it: {commands}",
        )
    if len(found) != 1:
        raise DataError(
            f"one of {', '.join(FILES)} in {root}",
            " and ".join(str(path.relative_to(root)) for path in found) or "none of them",
            "Name the file itself in the place of the folder.",
        )
    return found[0]


def _present(root: Path, suffix: str) -> Iterator[Path]:
    """The files of the datasets below `root`, the nearest of each."""
    if root.is_file():
        yield from (root for dataset in DATASETS if root.name == dataset + suffix)
        return
    names = list_names(root)
    for dataset in DATASETS:
        folder = root / dataset
        places = (root, folder, folder / dataset) if dataset in names else (root,)
        yield from [place / (dataset + suffix) for place in places if (place / (dataset + suffix)).is_file()][:1]
