"""OVEN and InfoSeek: questions about images as JSON lines, over the six million pages of `dim.releases.wiki6m`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim.data.files import check_row, field_problem, list_names, read_json_lines
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.image_folder import ImageFolder
from dim.releases.mention_rows import MentionRows
from dim.releases.split_files import SPLIT_OF, SPLITS, empty_splits
from dim.releases.wiki6m import KB_FILES, find_kb, read_kb

OVEN_FILE = re.compile(r"oven_(entity|query)_(train|val|test)\.jsonl")
INFOSEEK_FILE = re.compile(r"infoseek_(train|val|test)\.jsonl")
WITH_KB = "infoseek_{}_withkb.jsonl"
DATA_FOLDERS = {"OVEN": ("oven_data", "oven"), "InfoSeek": ("infoseek_data", "infoseek")}
IMAGE_FOLDERS = ("oven_images", "infoseek_images", "images")
SUFFIXES = (".jpg", ".JPEG", ".png")
NO_ENTITY = "no entity, as in the test files that are for the leaderboard"


class Oven(Converter):
    """Reads the questions of OVEN, or of InfoSeek with the entities of its `_withkb` files.

    The question stands as the mention: as a context, the few questions of OVEN would tie their images together, so that
    no split could be drawn, and count as captions that stand in two splits.
    """

    layout = "oven"
    needs = f"oven_entity_train.jsonl … (or infoseek_train.jsonl and {WITH_KB.format('train')}) and {KB_FILES[0]}"
    folders = tuple(folder for folders in DATA_FOLDERS.values() for folder in folders)

    def recognizes(self, root: Path) -> bool:
        """Tells by the names of the files."""
        return bool(_files(root)[1])

    def read(self, root: Path) -> Release:
        """Reads the release, line by line.

        Raises:
            DataError: As the contract says, and where the pages or the entities of InfoSeek's rows are missing.
        """
        name, files = _files(root)
        kb = find_kb(root)
        if kb is None or not files:
            raise DataError(
                f"{self.needs} in {root}",
                "no such pages" if kb is None else "no questions",
                "Put the file into the folder, unpacked.",
            )
        entities, summaries, notes = read_kb(kb, root)
        rows = MentionRows(entities["id"])
        folder = next((folder for folder in IMAGE_FOLDERS if (root / folder).is_dir()), None)
        listed = ImageFolder(root / folder) if folder else None
        for split, path in files:
            golds = _golds(path) if name == "InfoSeek" else {}
            of_oven = OVEN_FILE.fullmatch(path.name)
            for where, row in _rows(path, "data_id", "image_id", "question"):
                gold = golds.get(row["data_id"]) or text_cell(row.get("entity_id"))
                if not gold:
                    rows.skip(split, NO_ENTITY, where)
                    continue
                rows.add(
                    split,
                    where=where,
                    mention=row["question"],
                    context="",
                    answer=gold,
                    images=[f"{folder}/{_image(listed, row['image_id'])}" if listed else f"{row['image_id']}.jpg"],
                    type=of_oven[1] if of_oven else text_cell(row.get("data_split")) or None,
                    attributes={"key": row["data_id"]},
                )
        notes += empty_splits({split for split, _ in files})
        return Release(
            name=name,
            source={
                "OVEN": "OVEN (Hu et al., ICCV 2023)",
                "InfoSeek": "InfoSeek (Chen et al., EMNLP 2023), the entities of its questions",
            }[name],
            licence="unknown",
            entities=entities,
            texts={"brief": summaries} if len(summaries) else {},
            mentions=rows.table(),
            image_root=root if folder or "images" in entities else None,
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=notes,
        )


def _files(root: Path) -> tuple[str, list[tuple[str, Path]]]:
    """The dataset's name, and split and path of its files; OVEN's where both are there."""
    if root.is_file():
        return "OVEN", []
    for name, pattern in (("OVEN", OVEN_FILE), ("InfoSeek", INFOSEEK_FILE)):
        folders = [root, *(root / folder for folder in DATA_FOLDERS[name] if (root / folder).is_dir())]
        found = [(folder / file, pattern.fullmatch(file)) for folder in folders for file in sorted(list_names(folder))]
        files = [(SPLIT_OF[match[match.lastindex or 1]], path) for path, match in found if match]
        if files:
            return name, sorted(files, key=lambda of: list(SPLITS).index(of[0]))
    return "OVEN", []


def _rows(path: Path, *required: str) -> Iterator[tuple[str, dict[str, Any]]]:
    types: dict[str, Any] = {"data_id": str, "image_id": str, "question": str, "entity_id": str | None}
    for number, row in read_json_lines(path):
        problem = field_problem(row, {name: types[name] for name in required} | {"entity_id": str | None}, required)
        check_row(problem, f"rows of {{{', '.join(types)}}}", path, f"in line {number}", "Put it right.")
        yield f"{path.name} line {number}", row


def _golds(path: Path) -> dict[str, str]:
    """Question → entity of a file of InfoSeek; nothing for its test file, which has none."""
    match = INFOSEEK_FILE.fullmatch(path.name)
    other = path.with_name(WITH_KB.format(match[1] if match else ""))
    if not other.is_file():
        if match and match[1] == "test":
            return {}
        raise DataError(f"{other.name} beside {path}", "nothing there", "Add it: it has the entities of the questions.")
    return {row["data_id"]: text_cell(row.get("entity_id")) for _, row in _rows(other, "data_id")}


def _image(listed: ImageFolder, image_id: str) -> str:
    """The path of an image in its folder: `<first two digits>/<id>.jpg`, or flat; the usual one where none is there."""
    shard = image_id.rsplit("_", 1)[-1][:2]
    paths = (f"{place}{image_id}{suffix}" for place in (f"{shard}/", "") for suffix in SUFFIXES)
    return next((path for path in paths if listed.look_up(path) == "here"), f"{shard}/{image_id}{SUFFIXES[0]}")
