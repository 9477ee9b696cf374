"""WIKIPerson (Sun et al., Findings of EMNLP 2022): the mention is a person's box in a news image; there is no text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dim.data.files import check_row, field_problem, list_names
from dim.data.splits import draw_captions
from dim.data.stream import read_items
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.images.regions import Box, with_region
from dim.releases.base import Converter, Release
from dim.releases.entity_rows import EntityRows
from dim.releases.image_folder import find_image_folder
from dim.releases.mention_rows import MentionRows
from dim.releases.repeats import Repeats
from dim.releases.split_files import empty_splits

ENTITY_FILE, TEXT_FOLDER, IMAGE_FOLDER = "entity_12w.json", "TKB", "IKB"
SPLIT_FILE = re.compile(r"(?:wikiperson_)?(train_?dev|train|dev|test)(?:_v[0-9.]+)?\.json", re.IGNORECASE)
TEST_FILE = "WIKIPerson_Test.json"
NO_BOX = "no box of four numbers"


class WikiPerson(Converter):
    """Reads `WIKIPerson_<split>.json`, `entity_12w.json` (also in the folder `TKB`) and looks for `IKB/<id>.jpg`.

    In the released test file `boundingbox` is a string `"[x1, y1, x2, y2]"`: left, top, right and bottom in pixels of
    the released images (224 × 224), out of which some boxes stick. A row becomes a mention without
    text whose image is `<folder>/<image>#xywh=left,top,width,height`. The file that is train and dev in one is
    divided by image.
    """

    layout = "wikiperson"
    needs = f"{ENTITY_FILE} beside WIKIPerson_Train_Dev.json and WIKIPerson_Test.json"
    folders = (TEXT_FOLDER,)

    def recognizes(self, root: Path) -> bool:
        """Tells by the file of the KB, or by that of the test rows, which the repository holds alone."""
        return _entity_file(root) is not None or (not root.is_file() and TEST_FILE in list_names(root))

    def read(self, root: Path) -> Release:
        """Reads the release; rows that stand several times are kept and noted.

        Raises:
            DataError: As the contract says, and where there is no split file, or two for one split.
        """
        splits = _split_files(root)
        entities = _read_entities(root)
        folder = find_image_folder(root)
        rows, repeats = MentionRows(entities.ids), Repeats()
        for split, file in splits.items():
            for number, row in read_items(root / file):
                _check_row(row, root / file, number)
                where = f"{file} row {number}"
                box = parse_box(row["boundingbox"])
                if box is None:
                    rows.skip(split, NO_BOX, f"{where}: {row['boundingbox']}")
                    continue
                image = with_region(f"{folder.name if folder else 'images'}/{row['image']}", box)
                answer = text_cell(row["wikiid"])
                repeats.add(split or "train", image, answer)
                attributes = {"key": row["id"]} if "id" in row else None
                rows.add(
                    split, where=where, mention="", context="", answer=answer, images=[image], attributes=attributes
                )
        mentions = rows.table()
        has_images = folder is not None or (root / IMAGE_FOLDER).is_dir()
        return Release(
            name="WikiPerson",
            source="WIKIPerson (Sun et al., Findings of EMNLP 2022)",
            licence="MIT",
            entities=entities.table(),
            texts={"brief": entities.texts()},
            mentions=mentions,
            image_root=root if has_images else None,
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=entities.notes() + repeats.notes() + _divide(mentions, splits),
        )


def _divide(mentions: pd.DataFrame, splits: Mapping[str | None, str]) -> list[str]:
    """Gives the rows that are train and dev in one a split each, in place; returns notes on the splits."""
    present = {"train", "dev", *splits} if None in splits else {*splits}
    notes = empty_splits(present)
    if None in splits:
        undivided = mentions[mentions["split"].isna()]
        is_dev = draw_captions(undivided, 1 / 10, "dev")
        mentions.loc[undivided.index, "split"] = np.where(is_dev, "dev", "train")
        notes.append(f"{splits[None]} holds train and dev in one: dev (10%) was drawn by image, the same every time")
    return notes


def parse_box(value: Any) -> Box | None:
    """The box (left, top, width, height) of `[x1, y1, x2, y2]`, an array or the same as a string; None if it is no box.

    Example:
        >>> parse_box("[10.5, -2, 30, 40]"), parse_box([1, 2, 3]), parse_box("face")
        ((10.5, -2.0, 19.5, 42.0), None, None)
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(isinstance(x, int | float) and math.isfinite(x) and abs(x) < 1e8 for x in value):
        return None
    left, top, right, bottom = map(float, value)
    return left, top, right - left, bottom - top


def _entity_file(root: Path) -> Path | None:
    places = (root / ENTITY_FILE, root / TEXT_FOLDER / ENTITY_FILE)
    return next((path for path in places if path.is_file()), None) if list_names(root) else None


def _split_files(root: Path) -> dict[str | None, str]:
    """The file of each split; None for train and dev in one."""
    found: dict[str, list[str]] = {}
    for file in sorted(list_names(root)):
        match = SPLIT_FILE.fullmatch(file)
        if match:
            found.setdefault(match[1].lower().replace("_", ""), []).append(file)
    twice = any(len(files) > 1 for files in found.values()) or ("traindev" in found and {"train", "dev"} & found.keys())
    if not found or twice:
        raise DataError(
            f"WIKIPerson_Train_Dev.json, or _Train and _Dev, and WIKIPerson_Test.json in {root}",
            ", ".join(file for files in found.values() for file in files) or "none",
            "Keep the files of one version in the folder.",
        )
    kinds = [kind for kind in ("traindev", "train", "dev", "test") if kind in found]
    return {None if kind == "traindev" else kind: found[kind][0] for kind in kinds}


def _read_entities(root: Path) -> EntityRows:
    path = _entity_file(root)
    if path is None:
        raise DataError(
            f"{ENTITY_FILE} in {root} or {root / TEXT_FOLDER}",
            "nothing of that name",
            "Get it with the whole dataset: the repository has test rows alone, and they name no entity.",
        )
    entities = EntityRows()
    for number, row in read_items(path):
        problem = field_problem(row, {"id": str | int, "name": str | None, "description": str | None})
        check_row(problem, "entities {id, name, description}", path, f"in row {number}", "Put the row right.")
        entity_id = text_cell(row["id"])
        entities.add(
            entity_id,
            name=row.get("name") or "",
            text=row.get("description") or "",
            images=[f"{IMAGE_FOLDER}/{entity_id}.jpg"],
            attributes={key: row[key] for key in row if key not in ("id", "name", "description")},
        )
    return entities


def _check_row(row: Any, path: Path, number: int) -> None:
    problem = field_problem(row, {"image": str, "wikiid": str | int | None}, required=("wikiid",))
    if problem is None and "boundingbox" not in row:
        problem = "no field 'boundingbox'"
    check_row(problem, "rows of {id, image, boundingbox, wikiid}", path, f"in row {number}")
