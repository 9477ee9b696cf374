"""Mention images that show the gold entity's own picture: the same file, or the same to the eye."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from dim.audit.findings import Finding, Thresholds, Verdict, first
from dim.audit.rows import Mask, Rows, files_of, paths_of, train_splits
from dim.core.files import content_hash
from dim.core.progress import shown
from dim.data.dataset import Dataset
from dim.images.found_files import path_on_disk
from dim.images.reading import UnusableImageError, load_image, num_decoders

FLAT = 2.0  # grey levels (of 255): below this standard deviation a perceptual hash is rounding noise
AT_ONCE = 256  # files handed to the threads together, so that Ctrl-C does not wait for all of them


@dataclass(frozen=True)
class Look:
    """What an image file is compared by.

    Attributes:
        content: A hash of its bytes.
        phash: The 64 bits of `imagehash.phash`; None where the image is of one colour.
    """

    content: str
    phash: int | None

    def distance(self, other: Look) -> int | None:
        """The bits that differ: 0 for the same file; None where nothing can be said.

        Example:
            >>> Look("a", 0b1100).distance(Look("b", 0b1010)), Look("a", None).distance(Look("a", None))
            (2, 0)
        """
        if self.content == other.content:
            return 0
        return None if self.phash is None or other.phash is None else (self.phash ^ other.phash).bit_count()


@dataclass(frozen=True)
class Looks:
    """The looks of the image files that were asked for.

    Attributes:
        found: File → its look.
        failed: Why a file cannot be used → the files.
    """

    found: Mapping[str, Look] = field(default_factory=dict)
    failed: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def contents(self) -> dict[str, str]:
        """File → the hash of its bytes."""
        return {file: look.content for file, look in self.found.items()}


def look_at(files: Sequence[str], root: Path, progress: bool = False) -> Looks:
    """Reads each file once, by the rules of `dim.images.reading`.

    Args:
        files: Paths relative to `root`, without regions.
        root: The image folder.
        progress: Show a bar, on stderr.
    """
    unique = sorted(set(files))
    found: dict[str, Look] = {}
    failed: dict[str, list[str]] = {}

    def look(file: str) -> Look | str:
        try:
            return _look(root, file)
        except UnusableImageError as error:
            return error.reason

    with (
        ThreadPoolExecutor(num_decoders()) as pool,
        shown("hashing images", len(unique), silent=not progress or not unique) as advance,
    ):
        for start in range(0, len(unique), AT_ONCE):
            part = unique[start : start + AT_ONCE]
            for file, outcome in zip(part, pool.map(look, part), strict=True):
                if isinstance(outcome, Look):
                    found[file] = outcome
                else:
                    failed.setdefault(outcome, []).append(file)
                advance()
    return Looks(found, failed)


def _look(root: Path, file: str) -> Look:
    # The size and filter of `imagehash.phash`, which finds nothing left to resize.
    small = load_image(root / file, root).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    phash = None if float(np.asarray(small).std()) < FLAT else int(str(imagehash.phash(small)), 16)
    return Look(content_hash(path_on_disk(root / file).read_bytes()), phash)


def files_to_compare(dataset: Dataset, rows: Rows) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """The files of all mentions and of their golds, and gold id → its files. Other entities' files stay closed."""
    golds = {gold for ids, files in zip(rows.golds, rows.files, strict=True) if files for gold in ids}
    entities = dataset.entities
    images = files_of(paths_of(entities["images"].tolist()))
    of_gold = {i: files for i, files in zip(entities["id"].tolist(), images, strict=True) if i in golds and files}
    return [file for files in [*rows.files, *of_gold.values()] for file in files], of_gold


class GoldImages:
    """Compares each mention's images with those of entities, such as its golds.

    Args:
        rows: The mentions.
        of_gold: Entity id → its image files.
        looks: The looks of all these files.
    """

    def __init__(self, rows: Rows, of_gold: Mapping[str, Sequence[str]], looks: Looks) -> None:
        self._of_mention = [[looks.found[f] for f in files if f in looks.found] for files in rows.files]
        self._of_gold = {i: [looks.found[f] for f in files if f in looks.found] for i, files in of_gold.items()}

    def comparable(self, row: int, entity_ids: Sequence[str]) -> bool:
        """Whether both sides have an image that can be read."""
        return bool(self._of_mention[row]) and bool(self._looks_of(entity_ids))

    def distance(self, row: int, entity_ids: Sequence[str]) -> int | None:
        """The smallest distance; None where nothing can be compared."""
        pairs = ((mine, its) for mine in self._of_mention[row] for its in self._looks_of(entity_ids))
        distances = [distance for mine, its in pairs if (distance := mine.distance(its)) is not None]
        return min(distances, default=None)

    def same_file(self, row: int, entity_ids: Sequence[str]) -> bool:
        """Whether a mention's image and one of the entities' have the same bytes."""
        contents = {look.content for look in self._looks_of(entity_ids)}
        return any(look.content in contents for look in self._of_mention[row])

    def _looks_of(self, entity_ids: Sequence[str]) -> list[Look]:
        return [look for entity_id in entity_ids for look in self._of_gold.get(entity_id, ())]


def check_images(
    rows: Rows, images: GoldImages, looks: Looks, splits: Sequence[str], thresholds: Thresholds
) -> tuple[list[Finding], Mask]:
    """Findings on unusable files and on duplicates of the gold's image, and the rows [n] that have one."""
    leaking = np.zeros(len(rows), dtype=bool)
    findings = [_unusable(rows, looks)]
    for split, within in [("train", train_splits("dev")), *((split, (split,)) for split in splits)]:
        places = np.flatnonzero(rows.in_splits(*within)).tolist()
        if places:
            findings.append(_duplicates(rows, images, split, places, leaking, thresholds.image_distance))
    return findings, leaking


def _unusable(rows: Rows, looks: Looks) -> Finding:
    name = "image files that cannot be read"
    num_failed = sum(map(len, looks.failed.values()))
    num_files = len(looks.found) + num_failed
    if not num_files:
        return Finding(name, "not checked", "No mention names an image.")
    return Finding(
        name,
        "warning" if num_failed else "ok",
        "Rows without their image are answered without it, and the checks of images do not reach them."
        if num_failed
        else "Every image of a mention or of its gold can be read.",
        count=num_failed,
        of=num_files,
        figures={reason: len(files) for reason, files in sorted(looks.failed.items())},
        examples=first(_interleaved(looks.failed)),
    )


def _interleaved(failed: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for reason, files in sorted(failed.items()):
        yield from (f"{file} ({reason})" for file in files)


def _duplicates(rows: Rows, images: GoldImages, split: str, places: list[int], leaking: Mask, limit: int) -> Finding:
    name = "image is a duplicate of the gold's image"
    compared = [i for i in places if images.comparable(i, rows.golds[i])]
    if not compared:
        return Finding(name, "not checked", _why_not(rows, places), split)
    golds = [rows.golds[i] for i in compared]
    distances = [images.distance(i, own) for i, own in zip(compared, golds, strict=True)]
    known = [d for d in distances if d is not None]
    found = [(i, d) for i, d in zip(compared, distances, strict=True) if d is not None and d <= limit]
    others = [*golds[len(golds) // 2 :], *golds[: len(golds) // 2]]
    by_chance = sum(
        set(own).isdisjoint(other) and (distance := images.distance(i, other)) is not None and distance <= limit
        for i, own, other in zip(compared, golds, others, strict=True)
    )
    leaking[[i for i, _ in found]] = True
    verdict, says = _verdict(split, [d for _, d in found], by_chance, limit)
    return Finding(
        name,
        verdict,
        says,
        split,
        len(found),
        len(compared),
        {
            "same_file": sum(images.same_file(i, rows.golds[i]) for i, _ in found),
            **({"nearest_in_bits": min(known)} if known else {}),
            "by_chance": by_chance,
            "of_one_colour": distances.count(None),
        },
        first(f"{rows.ids[i]} ~ {'|'.join(rows.golds[i])} ({distance} bits)" for i, distance in found),
    )


def _verdict(split: str, distances: list[int], by_chance: int, limit: int) -> tuple[Verdict, str]:
    if not distances:
        return "ok", "No image of a mention is its gold's own."
    if len(distances) <= 2 * by_chance:
        return "note", "Images of other golds are as near: pictures of this kind look alike, no leak is shown."
    if min(distances) > limit // 2:  # a copy, however encoded, comes nearer
        return "warning", "Near at the limit only: these may be pictures that are merely alike; look at the examples."
    if split == "train":
        return "warning", "A model learns here to compare pictures by their pixels instead of what they show."
    return "leak", "The image of the mention is the gold's own: to find the same picture is enough."


def _why_not(rows: Rows, places: list[int]) -> str:
    if not any(rows.files[i] for i in places):
        return "No mention of this split names an image."
    return "No row has a readable image both of its own and of its gold."
