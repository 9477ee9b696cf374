"""FissFuse's packages of WikiMEL and WikiDiverse: JSON lines with candidates, images in an HDF5 file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from dim.data.files import check_row, field_problem, list_names, read_json_lines
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.entity_rows import EntityRows
from dim.releases.hdf5_images import GROUPS
from dim.releases.images_by_stem import images_by_stem
from dim.releases.mention_rows import MentionRows
from dim.releases.repeats import Repeats
from dim.releases.split_files import empty_splits, files_of_one

ENTITY_FILE = "entities.jsonl"
SPLIT_FILE = re.compile(r"(wikimel|wikidiverse|richpedia(?:mel)?)_(train|valid|val|dev|test)\.jsonl", re.IGNORECASE)
NAMES = {"wikimel": "WikiMEL", "wikidiverse": "WikiDiverse", "richpedia": "Richpedia", "richpediamel": "RichpediaMEL"}
MENTION_IMAGES, ENTITY_IMAGES = GROUPS
PACKED = (".h5", ".hdf5", ".h5py")
ORDERED = (
    "the first candidate of each row is its answer: lists are kept in the order of the KB, and all hold the answer, "
    "which no search does"
)


class FissFuse(Converter):
    """Reads the split files and `entities.jsonl`, a line at a time.

    The answer of a row is its first candidate, unless it has a field `answer`. Images are those that
    `dim unpack` wrote, by the stem of a mention's `imgPath` and by an entity's id.
    """

    layout = "fissfuse"
    needs = f"{ENTITY_FILE} beside WIKIMEL_train.jsonl, WIKIMEL_valid.jsonl, WIKIMEL_test.jsonl (or WIKIDIVERSE_…)"

    def recognizes(self, root: Path) -> bool:
        """Tells by the file of the KB beside a split file."""
        names = list_names(root)
        return ENTITY_FILE in names and any(SPLIT_FILE.fullmatch(name) for name in names)

    def read(self, root: Path) -> Release:
        """Reads the release; rows that stand several times are kept and noted.

        Raises:
            DataError: As the contract says, and where split files are missing or belong to several datasets.
        """
        name, files = files_of_one(root, SPLIT_FILE, NAMES, "WIKIMEL_train.jsonl")
        entities = _read_entities(root)
        rows, repeats = MentionRows(entities.ids), Repeats()
        order = {entity_id: number for number, entity_id in enumerate(entities.ids)}
        images = images_by_stem(root, MENTION_IMAGES)
        first_is_gold = False
        for split, file in files.items():
            for where, row in _rows(root / file):
                offered = [text_cell(item) for item in row.get("candidates") or ()]
                first_is_gold = first_is_gold or "answer" not in row
                answer = text_cell(row["answer"]) if "answer" in row else offered[0]
                sentence, mention, path = row.get("sentence") or "", row["mentions"], row.get("imgPath") or ""
                # As the code of its readers has it: what precedes the first dot of the file's name.
                stem = PurePosixPath(path).name.split(".")[0]
                found = [images.get(stem, f"{MENTION_IMAGES}/{stem}.jpg")] if stem else []
                repeats.add(split, mention, sentence, answer, *found)
                rows.add(
                    split,
                    where=where,
                    mention=mention,
                    context=sentence,
                    answer=answer,
                    images=found,
                    candidates=sorted(set(rows.known(offered)), key=order.__getitem__) if offered else None,
                    attributes={"key": row["mention_id"]} if "mention_id" in row else None,
                )
        notes = empty_splits(files)
        has_images = any((root / folder).is_dir() for folder in GROUPS)
        packed = sorted(name for name in list_names(root) if name.endswith(PACKED))
        if packed and not has_images:
            notes.append(f"the images wait in {', '.join(packed)}: dim unpack {root / packed[0]} {root}")
        notes += rows.candidate_notes()
        return Release(
            name=f"{name}-FissFuse",
            source=f"{name} as packed for FissFuse (Luo et al., ACM MM 2024)",
            licence="unknown",
            entities=entities.table(),
            texts={"brief": entities.texts()},
            mentions=rows.table(),
            image_root=root if has_images else None,
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=[*notes, *([ORDERED] if first_is_gold else []), *entities.notes(), *repeats.notes()],
        )


def _read_entities(root: Path) -> EntityRows:
    path = root / ENTITY_FILE
    entities = EntityRows()
    for number, row in read_json_lines(path):
        problem = field_problem(row, {"qid": str, "name": str | None, "desc": str | None}, required=("qid",))
        check_row(problem, "entities {qid, id, name, desc}", path, f"in line {number}", "Put the row right.")
        entities.add(
            row["qid"],
            name=row.get("name") or "",
            text=row.get("desc") or "",
            attributes={key: row[key] for key in row if key not in ("qid", "name", "desc")},
        )
    entities.set_images(images_by_stem(root, ENTITY_IMAGES, set(entities.ids)))
    return entities


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place and the fields of each mention row."""
    types = {"mentions": str, "sentence": str | None, "imgPath": str | None, "answer": str | None}
    number = 0
    for number, row in read_json_lines(path):
        problem = field_problem(row, types, required=("mentions",))
        if problem is None:
            candidates = row.get("candidates")
            if not isinstance(candidates, list | None) or not all(isinstance(item, str) for item in candidates or ()):
                problem = "no array of ids as 'candidates'"
            elif "answer" not in row and not candidates:
                problem = "neither 'answer' nor 'candidates'"
        check_row(problem, "rows of {mention_id, mentions, sentence, imgPath, candidates}", path, f"in line {number}")
        yield f"{path.name} line {number}", row
    if not number:
        raise DataError(f"mention rows in {path}", "none", "Remove the file, or download it again.")
