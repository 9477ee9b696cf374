"""How many of the images that mentions and entities name are missing, and where to stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any

from dim.errors import ConfigError, DataError
from dim.images.regions import split_region
from dim.images.remote import FETCHED

#: The share of missing images beyond which a command stops. Links that died since a release was published cost a tenth
#: or a fifth of its images; a folder that moved, or was not unpacked, costs all of them or those of one side.
MAX_MISSING_IMAGES = 0.25
NO_FOLDER = "no image folder"

_NUM_TRIED, _NUM_FOLDERS = 3, 200
#: Endings of files in which a release's images may wait to be unpacked.
PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_PLURALS = {"mention": "mentions", "entity": "entities"}


@dataclass(frozen=True)
class NamedImages:
    """The owners that name images, and why some of them have none.

    Attributes:
        owner: `mention` or `entity`.
        named: How many name at least one image.
        reasons: Why an owner has none that can be used → how many owners.
        tried: Some of the paths that were tried, relative to the image folder.
        outside: The folder that holds the images of all owners, where paths lead out of the image folder.
    """

    owner: str
    named: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    tried: Sequence[str] = ()
    outside: Path | None = None

    @property
    def missing(self) -> int:
        """How many of them have no image."""
        return sum(self.reasons.values())

    def as_json(self) -> dict[str, Any]:
        """The counts, for metrics.json."""
        return {"named": self.named, "missing": self.missing, "reasons": dict(self.reasons)}


def missing_sentence(facts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The note that stands under a table of results; None where no named image is missing.

    Args:
        facts: `mention` and `entity` → what `NamedImages.as_json` gives.

    Example:
        >>> missing_sentence({"mention": {"named": 150, "missing": 3, "reasons": {"not found": 2, "unreadable": 1}}})
        'images: 3 of 150 mentions that name one have none (2 not found, 1 unreadable)'
    """
    told = [
        f"{of['missing']:,} of {of['named']:,} {_PLURALS[owner]} that name one have none ({_counted(of['reasons'])})"
        for owner, of in facts.items()
        if of["missing"]
    ]
    return f"images: {' and '.join(told)}" if told else None


def check_limit(limit: float) -> float:
    """The limit, if it is a share. Raises ConfigError otherwise."""
    if not 0 <= limit <= 1:
        raise ConfigError("a share from 0 to 1 as max_missing_images", f"{limit}", "Write 0.25 for a quarter.")
    return limit


#: How commands that have the option go on.
_FEWER = (
    "To go on with fewer images: --max_missing_images 1 (of fit and others that read a config: "
    "--data.max_missing_images 1)."
)


def check_images(found: NamedImages, limit: float, root: Path | None, otherwise: str = _FEWER) -> None:
    """Stops where so many images are missing that a model would be trained, or judged, without them.

    Args:
        found: What is named and what is missing.
        limit: The share of owners that may miss theirs.
        root: The image folder; None: there is none.
        otherwise: How else to go on, for the message.

    Raises:
        DataError: More are missing; the message has paths that were tried, and where they seem to stand.
    """
    if found.missing > check_limit(limit) * found.named:
        counted, remedy = describe_missing(found, root)
        raise DataError(
            f"the images that {_PLURALS[found.owner]} name, at most {limit:.0%} of them missing",
            counted,
            f"{remedy} {otherwise}",
        )


def describe_missing(found: NamedImages, root: Path | None) -> tuple[str, str]:
    """How many images are missing, with paths that were tried, and what to do, by what stands in and around `root`."""
    root = None if root is None or NO_FOLDER in found.reasons else root.resolve()
    tried = list(dict.fromkeys(split_region(path)[0] for path in found.tried))[:_NUM_TRIED]
    counted = f"{found.missing:,} of {found.named:,} {_PLURALS[found.owner]} without theirs ({_counted(found.reasons)})"
    if tried:
        counted += f"; tried {', '.join(path if root is None or '://' in path else str(root / path) for path in tried)}"
    return counted, _where(root, tried, found.outside)


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())


def _where(root: Path | None, tried: Sequence[str], outside: Path | None) -> str:
    if root is None:
        return "Unpack the images into a folder 'images' of the release, or name theirs: dim prepare --images FOLDER."
    if not root.is_dir():
        return (
            f"There is no folder {root}: put it back, write its new place into dataset.json (image_root), or prepare "
            "again with dim prepare --images FOLDER."
        )
    if any("://" in path for path in tried):
        return "Download the images, and name their files: dim fetches none of this layout."
    if all(path.startswith(f"{FETCHED}/") for path in tried) and tried:
        return "They are named by URL: dim fetch-images DATASET gets them."
    if any(Path(path).is_absolute() or ".." in Path(path).parts for path in tried):
        if outside is not None:
            return (
                f"They stand outside: nothing is read there before you name the folder, --images {quote(str(outside))}."
            )
        return "Write paths relative to the image folder; dim prepare --images FOLDER names the one that holds all."
    gone = [path for path in tried if not _is_file(root / path)]
    for folder in _folders_near(root):
        if any(_is_file(folder / path) or _is_file(folder / Path(path).name) for path in gone):
            return f"They stand in {folder}: prepare again with dim prepare --images {quote(str(folder))}."
    if any("/" in path and _is_file(root / Path(path).name) for path in gone):
        return f"They stand in {root} without the folders that their paths name: prepare again with dim prepare."
    packed = [path for folder in (root, root.parent) for path in packed_in(folder)]
    if packed and (gone or not tried):
        return f"Unpack it: {unpack_command(packed[0])}"
    if len(gone) < len(tried):
        broken = next(path for path in tried if path not in gone)
        return f"Some stand there and cannot be read, first {root / broken}: replace them, and run this again."
    return "Put the images there, or prepare again with dim prepare --images FOLDER."


def packed_in(folder: Path) -> list[Path]:
    """The files in a folder, and in its folders, in which images may wait to be unpacked."""
    here = _entries(folder)
    inside = [path for one in here if one.is_dir() for path in _entries(one)]
    return [path for path in (*here, *inside) if path.suffix.lower() in PACKED and _is_file(path)]


def unpack_command(path: Path) -> str:
    """The command that unpacks a file, into a folder of its name beside it.

    Example:
        >>> unpack_command(Path("data/kb image.zip")), unpack_command(Path("a.tar.gz"))
        ("unzip -q 'data/kb image.zip' -d 'data/kb image'", 'mkdir -p a && tar -xf a.tar.gz -C a')
    """
    name = path.name.lower()
    stem = path.name[: len(path.name) - len(path.suffix)]
    stem = stem[: -len(".tar")] if stem.lower().endswith(".tar") else stem
    file, folder = quote(str(path)), quote(str(path.with_name(stem)))
    if name.endswith(".zip"):
        return f"unzip -q {file} -d {folder}"
    if ".tar" in name or name.endswith(".tgz"):
        return f"mkdir -p {folder} && tar -xf {file} -C {folder}"
    if name.endswith((".7z", ".rar")):
        return f"7z x {file} -o{folder}"
    return f"7z x {file}"


def _folders_near(root: Path) -> Iterator[Path]:
    """Folders in the image folder, and beside it."""
    for folder in (root, root.parent):
        inside = [path for path in _entries(folder) if path.is_dir() and path != root]
        yield from inside
        yield from (path for one in inside for path in _entries(one) if path.is_dir())
    yield root.parent


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(islice(folder.iterdir(), _NUM_FOLDERS))
    except OSError:
        return []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
