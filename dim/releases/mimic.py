"""The packages of MIMIC (arXiv 2307.09721), M3EL and MMoE: WikiMEL, RichpediaMEL, WikiDiverse, KBs with images."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from dim.data.files import check_row, field_problem, list_names
from dim.data.stream import read_items
from dim.releases.base import Converter, Release
from dim.releases.mention_rows import MentionRows
from dim.releases.mimic_kb import DESCRIBED_FILE, ENTITY_FILE, ID_FILE, read_kb, unquote_name
from dim.releases.repeats import Repeats
from dim.releases.split_files import empty_splits, files_of_one

# The released files and the released configuration differ in spelling: Wikidiverse_train, wiki_diverse_train.
SPLIT_FILE = re.compile(r"(wikimel|richpediamel|wiki_?diverse)_(train|dev|test)\.json", re.IGNORECASE)
NAMES = {"wikimel": "WikiMEL", "richpediamel": "RichpediaMEL", "wikidiverse": "WikiDiverse"}
MENTION_FOLDERS = ("mention_image", "mention_images")
KB_FOLDER = "kb_image"


class Mimic(Converter):
    """Reads the split files, `kb_entity.json` and `qid2id.json`, one row at a time.

    Image paths are relative to the release's folder, because mentions and entities have folders of their own.
    """

    layout = "mimic"
    needs = f"{ENTITY_FILE} or {DESCRIBED_FILE} beside WIKIMEL_train.json (or RichpediaMEL_…, Wikidiverse_…)"

    def recognizes(self, root: Path) -> bool:
        """Tells by the file of the KB."""
        return not list_names(root).isdisjoint((ENTITY_FILE, DESCRIBED_FILE))

    def read(self, root: Path) -> Release:
        """Reads the release; rows that stand several times are kept and noted.

        Raises:
            DataError: As the contract says, and where split files are missing or belong to several datasets.
        """
        name, splits = files_of_one(root, SPLIT_FILE, NAMES, "WIKIMEL_train.json")
        kb = read_kb(root, KB_FOLDER)
        rows = MentionRows(kb.rows.ids)
        folder = next((folder for folder in MENTION_FOLDERS if (root / folder).is_dir()), MENTION_FOLDERS[0])
        repeats = Repeats()
        for split, file in splits.items():
            for number, row in read_items(root / file):
                _check_row(row, root / file, number)
                sentence, answer = row.get("sentence") or "", kb.find(row["answer"])
                mention = unquote_name(row["mentions"], sentence)
                images = [f"{folder}/{released_name(path)}" for path in [row.get("imgPath")] if path]
                repeats.add(split, mention, sentence, str(answer), *images)
                rows.add(
                    split,
                    where=f"{file} row {number}",
                    mention=mention,
                    context=sentence,
                    answer=answer,
                    images=images,
                    attributes={"key": row["id"]} if "id" in row else None,
                )
        has_images = any((root / name).is_dir() for name in (folder, KB_FOLDER))
        return Release(
            name=f"{name}-MIMIC",
            source=f"{name} as packed for MIMIC (arXiv 2307.09721)",
            licence="unknown",
            entities=kb.rows.table(),
            texts=kb.texts(),
            mentions=rows.table(),
            image_root=root if has_images else None,
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=[*_absent(root, splits), *kb.rows.notes(), *repeats.notes()],
        )


def released_name(path: str) -> str:
    """The file that stands for a mention's `imgPath`: as MIMIC's code has it, what precedes the first dot, as jpg.

    Example:
        >>> released_name("Q42/photo.v2.png")
        'photo.jpg'
    """
    return f"{PurePosixPath(path).name.split('.')[0]}.jpg"


def _absent(root: Path, splits: dict[str, str]) -> list[str]:
    return empty_splits(splits) + (
        [] if ID_FILE in list_names(root) else [f"no {ID_FILE}: answers are looked up in {ENTITY_FILE}"]
    )


def _check_row(row: Any, path: Path, number: int) -> None:
    allowed: dict[str, Any] = {
        "mentions": str,
        "answer": str | int | None,
        "sentence": str | None,
        "imgPath": str | None,
    }
    problem = field_problem(row, allowed, required=("mentions", "answer"))
    check_row(problem, "rows of {id, sentence, imgPath, mentions, answer}", path, f"in row {number}")
