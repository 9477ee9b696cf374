"""The `diverse` folder of DIM's release: Diverse, and Diverse+ (which differs in the entity texts alone)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim.data.files import json_type, list_names
from dim.data.table_files import list_cell, text_cell
from dim.releases.base import Converter, Release
from dim.releases.diverse_kb import SEARCH_FILE, EntityImages, read_entity_files
from dim.releases.entity_texts import texts_table
from dim.releases.hashed_images import HashedImages
from dim.releases.image_folder import find_image_folder
from dim.releases.raw_mentions import (
    BadRow,
    RawMention,
    collect_mentions,
    context_text,
    missing_field,
    offset,
    shape_problem,
)
from dim.releases.split_files import check_split_files, find_split_files, first_row, read_rows
from dim.releases.title_kb import title_kb
from dim.releases.titles import title_id

REQUIRED = ("sentence", "mention", "entity")
CANDIDATES = ("cands", "candidates")
#: Fields with a column of their own; whatever else a row says of its mention is kept as an attribute.
READ = (*REQUIRED, *CANDIDATES, "mention_type", "mention_image", "start", "end", "entity_image_list")


class Diverse(Converter):
    """Reads the rows, the entity texts and the candidates; entities are Wikipedia titles."""

    layout = "diverse"
    needs = "train.json, dev.json, test.json as arrays of {sentence, mention, mention_type, mention_image, entity}"

    def recognizes(self, root: Path) -> bool:
        """Tells by the fields of a first row."""
        rows = (first_row(root / file) for file in find_split_files(root).values())
        return any(bracket == "[" and isinstance(row, dict) and set(REQUIRED) <= row.keys() for bracket, row in rows)

    def entity_id(self, key: str) -> str:
        """Titles are ids."""
        return title_id(key)

    def read(self, root: Path) -> Release:
        """Reads the release.

        Raises:
            DataError: As the contract says, and where there is no split file at all or one has no row.
        """
        files = find_split_files(root)
        notes = check_split_files(root, files)
        folder = find_image_folder(root)
        images = HashedImages(folder)
        entity_images = EntityImages(images)
        rows = [row for split, file in files.items() for row in _read_split(root / file, split, images, entity_images)]
        listed, texts, text_notes = read_entity_files(root)
        entities, kb_notes = title_kb(rows, listed)
        entities["images"], image_notes = entity_images.column(entities["id"])
        mentions, row_notes = collect_mentions(rows, entities["id"], title_id)
        if SEARCH_FILE in list_names(root):
            notes.append(f"{SEARCH_FILE} was not read: its keys are the gold entities, so its lists are no candidates")
        return Release(
            name=root.resolve().name,
            source="the release of DIM (arXiv 2407.12019), made from WikiDiverse (Wang et al., ACL 2022)",
            licence="unknown",
            entities=entities,
            texts={name: texts_table((i, of.get(i, "")) for i in entities["id"]) for name, of in texts.items()},
            mentions=mentions.table(),
            image_root=folder,
            rows_read=mentions.num_read,
            skipped=mentions.skipped,
            notes=[*notes, *text_notes, *kb_notes, *image_notes, *row_notes],
            named_urls=images.urls,
        )


def _read_split(
    path: Path, split: str, images: HashedImages, entity_images: EntityImages
) -> Iterator[RawMention | BadRow]:
    for where, row in read_rows(path):
        problem = _row_problem(row)
        if problem is not None:
            yield BadRow(split, where, problem)
            continue
        answer = text_cell(row["entity"])
        entity_images.add(answer, row.get("entity_image_list"), is_gold=True)
        offered = next((row[name] for name in CANDIDATES if row.get(name) is not None), None)
        candidates = None if offered is None else [_candidate(item) for item in offered]
        for title, candidate_images in candidates or ():
            entity_images.add(title, candidate_images, is_gold=False)
        yield RawMention(
            split=split,
            where=where,
            mention=text_cell(row["mention"]),
            context=context_text(row["sentence"]),
            answer=answer,
            images=tuple(name for value in _image_values(row) for name in images.names(value)),
            span=(offset(row.get("start")), offset(row.get("end"))),
            candidates=None if candidates is None else tuple(title for title, _ in candidates),
            type=text_cell(row.get("mention_type")) or None,
            attributes={name: value for name, value in row.items() if _is_attribute(name, value)},
        )


def _row_problem(row: Any) -> str | None:
    """Why a row cannot be used, None where it can."""
    if not isinstance(row, dict):
        return json_type(row)
    problem = missing_field(row, REQUIRED)
    if problem is not None:
        return problem
    for name in CANDIDATES:
        if not isinstance(row.get(name), list | None):
            return f"{json_type(row[name])} as '{name}'"
    return shape_problem({name: row.get(name) for name in (*REQUIRED, "mention_type", "start", "end")})


def _candidate(item: Any) -> tuple[str, Any]:
    """The title and the images of a candidate: a title, or an array of both. What is neither has no title."""
    if isinstance(item, list):
        return text_cell(item[0]) if item and isinstance(item[0], str | int) else "", item[1] if item[1:] else None
    return text_cell(item) if isinstance(item, str | int) else "", None


def _image_values(row: dict[str, Any]) -> list[str]:
    value = row.get("mention_image")
    return list_cell(value) if isinstance(value, list) else [text_cell(value)] if isinstance(value, str) else []


def _is_attribute(name: str, value: Any) -> bool:
    # What a row says of its entity (`entity_introduction`) is the answer in other words.
    return name not in READ and not name.startswith("entity") and value not in (None, "", [], {})
