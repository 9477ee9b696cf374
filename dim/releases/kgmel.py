"""KGMEL's packages of WikiDiverse, WikiMEL and RichpediaMEL: captions with parallel lists, splits by caption id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim.data.files import check_row, clean_text, field_problem, list_names, read_object
from dim.data.stream import read_items
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.kgmel_kb import KB_FOLDER, Named, read_kb
from dim.releases.raw_mentions import BadRow, RawMention, collect_mentions
from dim.releases.split_files import SPLITS

DATASETS = ("WikiDiverse", "WikiMEL", "RichpediaMEL")
MAPPING, SPLIT_FILE, BLANK_FILE, KB_FILE = (
    "mapping",
    "ids_split_mappings.json",
    "ids_blank_image.json",
    "qids_candidate.json",
)
UNEQUAL, NO_SPLIT = "fields of uneven length", f"in no split of {SPLIT_FILE}"
_FIELDS = ("mention", "entity", "answer")


@dataclass(frozen=True)
class _Place:
    """Where one dataset of the package stands.

    Attributes:
        dataset: Its name.
        folder: The folder of its JSON file and of `mapping`; the KB's folder stands beside it.
    """

    dataset: str
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / f"{self.dataset}.json"

    def mapping(self, name: str) -> Any:
        """What a mapping file says of the dataset; None where there is no such file, or nothing of it."""
        path = self.folder / MAPPING / name
        return read_object(path).get(self.dataset) if path.is_file() else None


class KgMel(Converter):
    """Reads the rows, the splits and the KB of labels and triples; without that, the golds are the KB."""

    layout = "kgmel"
    needs = f"{' or '.join(f'{name}.json' for name in DATASETS)} beside {MAPPING}/{SPLIT_FILE}"
    folders = (
        *(MAPPING, "dataset", f"dataset/{MAPPING}", "data/dataset", f"data/dataset/{MAPPING}"),
        *(KB_FOLDER, f"../{KB_FOLDER}", f"data/{KB_FOLDER}"),
    )

    def recognizes(self, root: Path) -> bool:
        """Tells by the mapping beside the rows; `root` may be the repository, a folder inside, or the file of rows."""
        return bool(_places(root))

    def read(self, root: Path) -> Release:
        """Reads one dataset of the package.

        Raises:
            DataError: As the contract says, and where the folder has several datasets or no splits.
        """
        place = _choose(root)
        splits, split_notes = _read_splits(place)
        blank = set(place.mapping(BLANK_FILE) or ())
        golds: dict[str, Named] = {}
        urls: dict[str, str] = {}
        rows = list(_read_rows(place, splits, blank, golds, urls))
        kb = read_kb(place.folder.parent / KB_FOLDER, place.dataset, place.mapping(KB_FILE), golds)
        mentions, row_notes = collect_mentions(rows, kb.ids, str.strip)
        has_images = any(
            folder.is_dir() for folder in (place.folder / "image", place.folder.parent / KB_FOLDER / "image")
        )
        notes = [*split_notes, *kb.notes, *row_notes]
        if blank:
            notes.append(
                f"captions whose image is a placeholder, by {BLANK_FILE}: {len(blank):,}; they count as without"
            )
        return Release(
            name=f"{place.dataset}-KGMEL",
            source=f"{place.dataset} as packed for KGMEL (SIGIR 2025)",
            licence="CC BY-SA 4.0" if place.dataset == "WikiDiverse" else "unknown",
            entities=kb.table(),
            texts=kb.texts(),
            mentions=mentions.table(),
            image_root=place.folder.parent if has_images else None,
            rows_read=mentions.num_read,
            skipped=mentions.skipped,
            notes=notes,
            named_urls=urls,
        )


def _places(root: Path) -> list[_Place]:
    if root.is_file():
        found = [_Place(root.stem, root.parent)] if root.name in {f"{name}.json" for name in DATASETS} else []
    else:
        folders = (root, root / "dataset", root / "data" / "dataset")
        found = [_Place(name, folder) for folder in folders if folder.is_dir() for name in DATASETS]
    return [place for place in found if place.file.is_file() and (place.folder / MAPPING / SPLIT_FILE).is_file()]


def _choose(root: Path) -> _Place:
    places = _places(root)
    if len(places) != 1:
        raise DataError(
            f"one dataset of KGMEL in {root}: {KgMel.needs}",
            " and ".join(place.file.name for place in places) or ", ".join(sorted(list_names(root))[:8]) or "nothing",
            "Name the file itself in the place of the folder." if places else "Check the path.",
        )
    return places[0]


def _read_splits(place: _Place) -> tuple[dict[int, list[str]], list[str]]:
    """Caption id → the splits that it stands in, and notes."""
    path = place.folder / MAPPING / SPLIT_FILE
    by_stem = place.mapping(SPLIT_FILE)
    if not isinstance(by_stem, dict) or not all(isinstance(ids, list) for ids in by_stem.values()):
        raise DataError(
            f"splits of {place.dataset} in {path}: {{train, val, test: [caption ids]}}",
            f"the datasets {', '.join(read_object(path)) or '(none)'}" if by_stem is None else "something else",
            "Download the file again.",
        )
    found: dict[int, list[str]] = {}
    for split, stems in SPLITS.items():
        for number in next((by_stem[stem] for stem in stems if stem in by_stem), ()):
            found.setdefault(number, []).append(split)
    shared = [number for number, splits in found.items() if len(set(splits)) > 1]
    present = {split for splits in found.values() for split in splits}
    notes = [f"{SPLIT_FILE} has no {split}: that split is empty" for split in SPLITS if split not in present]
    if shared:
        notes.append(f"captions that stand in two splits, as released: {len(shared):,} (id {shared[0]})")
    return found, notes


def _read_rows(
    place: _Place, splits: dict[int, list[str]], blank: set[int], golds: dict[str, Named], urls: dict[str, str]
) -> Iterator[RawMention | BadRow]:
    """The mentions of each caption, once for each split that it stands in.

    `golds` takes in what they name, `urls` where their images are from.
    """
    for number, row in read_items(place.file):
        where = f"{place.file.name} row {number}"
        columns = _columns(row, place.file, number)
        row_splits = splits.get(row["id"], [])
        if len({len(column) for column in columns}) > 1 or not row_splits:
            yield BadRow((row_splits or ["mention"])[0], where, UNEQUAL if row_splits else NO_SPLIT)
            continue
        image = row.get("imgPath")
        images = () if not image or row["id"] in blank else (f"{place.folder.name}/image/{place.dataset}/{image}",)
        url = row.get("img-url")
        urls |= dict.fromkeys(images, url) if url else {}
        attributes = {"key": row["id"]} | ({"image_url": url} if url else {})
        for mention, title, answer in zip(*columns, strict=True):
            golds.setdefault(answer.strip(), Named()).add(clean_text(title).strip())
            for split in row_splits:
                yield RawMention(
                    split, where, mention, row.get("sentence") or "", answer, images, attributes=attributes
                )


def _columns(row: Any, path: Path, number: int) -> list[list[str]]:
    allowed: dict[str, Any] = dict.fromkeys(_FIELDS, str | list)
    allowed |= {"id": int, "sentence": str | None, "imgPath": str | None, "img-url": str | None}
    problem = field_problem(row, allowed, required=("id", *_FIELDS))
    columns = [] if problem else [row[name] if isinstance(row[name], list) else [row[name]] for name in _FIELDS]
    if not problem and not all(isinstance(value, str) for column in columns for value in column):
        problem = "something else than strings"
    check_row(problem, "rows of {id, sentence, mention, entity, answer}", path, f"in row {number}")
    return columns
