"""The release of GEMEL: JSON lines whose `target` is the entity's name to generate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim.data.files import json_type, list_names, read_json_lines
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.entity_rows import named_entities
from dim.releases.hashed_images import HashedImages
from dim.releases.image_folder import find_image_folder
from dim.releases.mention_rows import is_nil
from dim.releases.raw_mentions import BadRow, RawMention, collect_mentions, context_text, missing_field, shape_problem
from dim.releases.split_files import check_split_files, find_split_files, first_row
from dim.releases.title_kb import GOLDS_ALONE
from dim.releases.titles import title_name

REQUIRED = ("text", "mention", "target", "golden")
NO_TARGET = "golden without a target name"
UNREAD = (".hdf5", ".h5", ".pkl", ".pickle")
_ID = re.compile(r"[QqPp]?[0-9]+")


class Gemel(Converter):
    """Reads the rows. The KB is the names that they hold, because the release's own stands in a pickle alone."""

    layout = "gemel"
    needs = "train.json, dev.json, test.json as JSON lines {text, mention, target, golden}"

    def recognizes(self, root: Path) -> bool:
        """Tells by the fields of a first row."""
        rows = (first_row(root / file) for file in find_split_files(root).values())
        return any(bracket == "{" and isinstance(row, dict) and set(REQUIRED) <= row.keys() for bracket, row in rows)

    def read(self, root: Path) -> Release:
        """Reads the release.

        Raises:
            DataError: As the contract says, and where there is no split file at all or one has no row.
        """
        files = find_split_files(root)
        notes = [*check_split_files(root, files), GOLDS_ALONE]
        unread = sorted(name for name in list_names(root) if name.endswith(UNREAD))
        if unread:
            notes.append(f"never opened (features and prefix tree are made anew): {', '.join(unread)}")
        folder = find_image_folder(root)
        images = HashedImages(folder)
        names: dict[str, dict[str, None]] = {}
        rows = [row for split, file in files.items() for row in _read_split(root / file, split, images, names)]
        # Sorted, so that the order of the KB says nothing of the splits.
        entities = named_entities(sorted(names), names)
        mentions, row_notes = collect_mentions(rows, entities["id"], str)
        return Release(
            name=root.resolve().name,
            source="the release of GEMEL (arXiv 2306.12725)",
            licence="unknown",
            entities=entities,
            texts={},
            mentions=mentions.table(),
            image_root=folder,
            rows_read=mentions.num_read,
            skipped=mentions.skipped,
            notes=[*notes, *row_notes],
        )


def _read_split(
    path: Path, split: str, images: HashedImages, names: dict[str, dict[str, None]]
) -> Iterator[RawMention | BadRow]:
    """The rows of a split; `names` gains the names of their entities (id → names)."""
    number = 0
    for number, row in read_json_lines(path):
        where = f"{path.name} line {number}"
        problem = _row_problem(row)
        if problem is not None:
            yield BadRow(split, where, problem)
            continue
        answer = ""
        if not is_nil(text_cell(row["golden"])):
            name = title_name(text_cell(row["target"]))
            answer = _entity_id(text_cell(row["golden"]), name)
            names.setdefault(answer, {})[name] = None
        image = text_cell(row.get("img_name")) or text_cell(row.get("img_url"))
        yield RawMention(
            split=split,
            where=where,
            mention=text_cell(row["mention"]),
            context=context_text(row["text"]),
            answer=answer,
            images=tuple(images.names(image)),
            attributes={key: value for key, value in row.items() if _is_attribute(key, value)},
        )
    if not number:
        raise DataError(f"mention rows in {path}", "none", "Remove the file, or download it again.")


def _row_problem(row: Any) -> str | None:
    """Why a row cannot be used, None where it can."""
    if not isinstance(row, dict):
        return json_type(row)
    problem = missing_field(row, REQUIRED) or shape_problem(
        {name: row.get(name) for name in (*REQUIRED, "img_name", "img_url")}
    )
    if problem is None and not is_nil(text_cell(row["golden"])) and is_nil(title_name(text_cell(row["target"]))):
        return NO_TARGET
    return problem


def _entity_id(golden: str, name: str) -> str:
    """The id that `golden` is (`Q42`, or a number), else the name: golden is then a name or a URL of its own.

    Example:
        >>> _entity_id("q42", "Douglas Adams"), _entity_id("https://en.wikipedia.org/wiki/Douglas_Adams", "D. Adams")
        ('Q42', 'D. Adams')
    """
    return golden.upper() if _ID.fullmatch(golden) else name


def _is_attribute(name: str, value: Any) -> bool:
    return name not in (*REQUIRED, "img_name") and value not in (None, "", [], {})
