"""ZELDA: documents with offsets and Wikipedia pages as answers; a training split and nine test sets, text only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim.data.files import check_row, field_problem, list_names, read_json_lines
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.entity_rows import EntityRows
from dim.releases.mention_rows import MentionRows
from dim.releases.split_files import empty_splits, find_matching_files
from dim.releases.title_kb import GOLDS_ALONE

TRAIN_FOLDER, TEST_FOLDER, OTHER = "train_data", "test_data/jsonl", "other"
TRAIN_FILE, ENTITY_FILE = "zelda_train.jsonl", "entity_descriptions.jsonl"
TEST_FILE = r"test_.*\.jsonl"
LISTS = ("index", "wikipedia_ids", "wikipedia_titles")
UNEVEN, OUTSIDE = "annotations of uneven length", "start and end outside of the text"


class Zelda(Converter):
    """Reads `zelda_train.jsonl`, `test_*.jsonl` and the entity descriptions; a test set is the type of its mentions."""

    layout = "zelda"
    needs = f"{TRAIN_FILE} or test_aida-b.jsonl …, also in {TRAIN_FOLDER} and {TEST_FOLDER}"
    folders = (TRAIN_FOLDER, TEST_FOLDER, OTHER)

    def recognizes(self, root: Path) -> bool:
        """Tells by the file names, and by the fields of a first row where they could be anybody's."""
        return any(split == "train" or _is_zelda(path) for split, path in _files(root))

    def read(self, root: Path) -> Release:
        """Reads the release. Its candidate lists are a pickle, which is never opened.

        Raises:
            DataError: As the contract says, and where there is no file of documents.
        """
        files = _files(root)
        if not files:
            raise DataError(f"{self.needs} in {root}", "none of these files", "Check --layout.")
        entities, notes = _read_entities(root, files)
        rows = MentionRows(entities.ids)
        for split, path in files:
            source = path.stem.removeprefix("test_") if split == "test" else None
            for where, document in _documents(path):
                spans, ids = document["index"], document["wikipedia_ids"]
                if len({len(document[name]) for name in LISTS}) > 1:
                    rows.skip(split, UNEVEN, where)
                    continue
                for span, entity_id in zip(spans, ids, strict=True):
                    if not _is_span(span, document["text"]):
                        rows.skip(split, OUTSIDE, f"{where}: {span}")
                        continue
                    start, end = span
                    rows.add(
                        split,
                        where=where,
                        mention=document["text"][start:end],
                        context=document["text"],
                        answer=text_cell(entity_id),
                        span=(start, end),
                        type=source,
                        attributes={"document": document.get("id")},
                    )
        texts = entities.texts()
        notes += empty_splits({split for split, _ in files})
        return Release(
            name="ZELDA",
            source="ZELDA (Milich and Akbik, EACL 2023)",
            licence="unknown",
            entities=entities.table().drop(columns="images"),
            texts={"brief": texts} if len(texts) else {},
            mentions=rows.table(),
            image_root=None,
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=[*notes, *entities.notes()],
        )


def _files(root: Path) -> list[tuple[str, Path]]:
    """Split and path of each file of documents."""
    folders = [folder for folder in (root, root / TRAIN_FOLDER, root / TEST_FOLDER) if folder.is_dir()]
    found = [("train", folder / TRAIN_FILE) for folder in folders if TRAIN_FILE in list_names(folder)][:1]
    return found + [("test", folder / file) for folder in folders for file in find_matching_files(folder, TEST_FILE)]


def _is_zelda(path: Path) -> bool:
    _, row = next(iter(read_json_lines(path)), (0, None))
    return isinstance(row, dict) and {"text", *LISTS} <= row.keys()


def _documents(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in read_json_lines(path):
        problem = field_problem(row, {"text": str, **dict.fromkeys(LISTS, list)}, required=("text", *LISTS))
        check_row(problem, f"documents {{id, text, {', '.join(LISTS)}}}", path, f"in line {number}", "Put it right.")
        yield f"{path.name} line {number}", row


def _is_span(span: Any, text: str) -> bool:
    if not isinstance(span, list) or len(span) != 2 or not all(type(place) is int for place in span):
        return False
    return bool(0 <= span[0] < span[1] <= len(text))


def _read_entities(root: Path, files: list[tuple[str, Path]]) -> tuple[EntityRows, list[str]]:
    """The KB: what has a description; where no file has them, the answers in the order of their ids."""
    entities = EntityRows()
    path = next((p for p in (root / f / ENTITY_FILE for f in ("", OTHER, TRAIN_FOLDER)) if p.is_file()), None)
    if path is None:
        titles: dict[str, str] = {}
        for _, file in files:
            for _, document in _documents(file):
                for entity_id, title in zip(document["wikipedia_ids"], document["wikipedia_titles"], strict=False):
                    titles.setdefault(text_cell(entity_id), text_cell(title))
        for entity_id in sorted(titles, key=lambda key: (len(key), key)):
            entities.add(entity_id, name=titles[entity_id], text="")
        return entities, [GOLDS_ALONE, f"no {ENTITY_FILE}: the entities have no text"]
    types = {"wikipedia_id": str | int, "wikipedia_title": str, "description": str | None}
    for number, row in read_json_lines(path):
        problem = field_problem(row, types)
        check_row(problem, f"entities {{{', '.join(types)}}}", path, f"in line {number}", "Put it right.")
        entities.add(text_cell(row["wikipedia_id"]), name=row["wikipedia_title"], text=row.get("description") or "")
    return entities, []
