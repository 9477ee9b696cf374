"""DiffMEL: rows whose candidates carry their own name, text and image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from dim.data.files import check_row, field_problem, read_json_lines
from dim.data.stream import read_items
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.entity_rows import EntityRows
from dim.releases.mention_rows import MentionRows
from dim.releases.split_files import SPLIT_OF, find_matching_files, first_row

REQUIRED = ("Qid", "name", "sentence", "candidates")
TYPES = {"Qid": str, "name": str, "description": str | None, "sentence": str | None, "candidates": list}
PREFIX = "DiffMEL"  #: Paths of the release begin with `/DiffMEL/`, its own folder.
NAMED = "the mention of a row is the name of its answer: a string match alone finds it wherever names are unique"
SHOWN = "the image of a row is that of its answer in the KB: pixels alone find it"
ORDERED = "the answer stands among the candidates of each row, mostly first: lists are kept in the order of the KB"


class DiffMel(Converter):
    """Reads every file of such rows; the KB is the candidates and the answers, in the order of their ids."""

    layout = "diffmel"
    needs = f"JSON or JSON lines of {{{', '.join(REQUIRED)}}}, each candidate {{Qid, name, description, image}}"

    def recognizes(self, root: Path) -> bool:
        """Tells by the fields of a first row."""
        return bool(_files(root))

    def read(self, root: Path) -> Release:
        """Reads the release; files called train, dev (or valid), test are its splits, others are drawn.

        Raises:
            DataError: As the contract says, and where a row or a candidate has another shape.
        """
        files = _files(root)
        if not files:
            raise DataError(f"{self.needs} in {root}", "no such file", "Check --layout.")
        raw = [(file, where, row) for file in files for where, row in _rows(root / file)]
        splits = {file: _split(file) for file in files}
        has_splits = None not in splits.values()
        entities = _entities(raw)
        order = {entity_id: number for number, entity_id in enumerate(entities.ids)}
        rows = MentionRows(entities.ids)
        for file, where, row in raw:
            offered = rows.known([candidate["Qid"] for candidate in row["candidates"]])
            rows.add(
                splits[file] if has_splits else None,
                where=where,
                mention=row["name"],
                context=row.get("sentence") or "",
                answer=row["Qid"],
                images=_images(row.get("image")),
                candidates=sorted(set(offered), key=order.__getitem__),
                type=text_cell(row.get("difficulty")) or None,
                attributes={"file": file},
            )
        return Release(
            name=root.resolve().name,
            source="DiffMEL (79,625 rows, three degrees of difficulty, five themes)",
            licence="unknown",
            entities=entities.table(),
            texts={"brief": entities.texts()},
            mentions=rows.table(),
            image_root=root,
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=[NAMED, SHOWN, ORDERED, *entities.notes()],
        )


def _files(root: Path) -> list[str]:
    """The JSON files whose first row is one of DiffMEL's."""
    names = find_matching_files(root, r".*\.jsonl?")
    rows = {name: first_row(root / name)[1] for name in names}
    return [name for name, row in rows.items() if isinstance(row, dict) and set(REQUIRED) <= row.keys()]


def _split(file: str) -> str | None:
    stem = PurePosixPath(file).stem.lower()
    return SPLIT_OF.get(stem)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    lines = path.suffix.lower() == ".jsonl"
    for number, row in read_json_lines(path) if lines else read_items(path):
        problem = field_problem(row, TYPES, required=REQUIRED)
        for candidate in row["candidates"] if problem is None else ():
            problem = problem or field_problem(candidate, {"Qid": str, "name": str, "description": str | None})
        where = f"{'line' if lines else 'row'} {number}"
        check_row(problem, f"rows of {{{', '.join(REQUIRED)}}}", path, f"in {where}")
        yield f"{path.name} {where}", row


def _entities(raw: list[tuple[str, str, dict[str, Any]]]) -> EntityRows:
    # An entity stands once for each row that offers it; of many equal ones the first is enough.
    offered: dict[str, dict[str, Any]] = {}
    for _, _, row in raw:
        for candidate in (*row["candidates"], row):
            offered.setdefault(candidate["Qid"], candidate)
    entities = EntityRows()
    for entity_id in sorted(offered):
        entity = offered[entity_id]
        text = entity.get("description") or ""
        entities.add(entity_id, name=entity["name"], text=text, images=_images(entity.get("image")))
    return entities


def _images(value: Any) -> list[str]:
    """The local path of `[name, URL, path]`, from the folder of the release; nothing where it has another shape."""
    path = value[2] if isinstance(value, list) and len(value) == 3 and isinstance(value[2], str) else ""
    parts = PurePosixPath(path).parts
    parts = parts[1:] if parts[:1] == ("/",) else parts
    return ["/".join(parts[1:] if parts[:1] == (PREFIX,) else parts)] if parts else []
