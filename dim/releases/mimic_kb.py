"""The KB of a MIMIC package: `kb_entity.json`, and `qid2id.json` that maps Wikidata ids to the KB's integer indices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pandas as pd

from dim.data.files import check_row, clean_text, field_problem, json_type, list_names
from dim.data.stream import read_items, read_members
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.entity_rows import EntityRows
from dim.releases.entity_texts import texts_table
from dim.releases.mention_rows import is_nil

ENTITY_FILE, ID_FILE = "kb_entity.json", "qid2id.json"
#: The same KB with Wikidata's description (`desc`) in the place of the attributes, as MMoE and M3EL read it.
DESCRIBED_FILE = "kb_entity_desc.json"
FIELDS = ("id", "type", "entity_name", "attr", "desc", "image_list", "qid", "answer")
_TEXT, _ID = (str, type(None)), (str, int, type(None))
_TYPES = {"entity_name": _TEXT, "attr": _TEXT, "desc": _TEXT, "qid": _TEXT, "answer": _TEXT, "id": _ID}


class MimicKB:
    """The entities in the order of the file, and the ways to name one: its Wikidata id, or its index.

    Args:
        indices: Wikidata id → index as text, from `qid2id.json`; empty where there is no such file.
        image_folder: Where the entities' images lie, relative to the release.
    """

    def __init__(self, indices: dict[str, str], image_folder: str) -> None:
        self.rows = EntityRows()
        self._image_folder = image_folder
        self._indices, self._qids = indices, {index: qid for qid, index in reversed(indices.items())}
        self._row_of_index: dict[str, int] = {}
        self._descriptions: dict[str, str] = {}

    def describe(self, row: dict[str, Any]) -> None:
        """Takes the description of an entity out of a row of `kb_entity_desc.json`."""
        named = next((row[key] for key in ("qid", "answer", "id") if text_cell(row.get(key))), None)
        entity_id = self.find(named)
        description = clean_text(row.get("desc") or "").strip()
        if entity_id is None or entity_id not in self.rows:
            self.rows.met.add(f"entities of {DESCRIBED_FILE} that {ENTITY_FILE} lacks were left out", text_cell(named))
        elif description:
            self._descriptions.setdefault(entity_id, description)

    def texts(self) -> dict[str, pd.DataFrame]:
        """The attributes as `brief`, the descriptions as `desc`; of a KB with one of them that is `brief`."""
        described = {"desc": self._descriptions.items()} if self._descriptions else {}
        return {"brief": self.rows.texts()} | {name: texts_table(pairs) for name, pairs in described.items()}

    def add(self, row: dict[str, Any]) -> None:
        """Takes in one row of the file."""
        met = self.rows.met
        index = text_cell(row.get("id"))
        entity_id = text_cell(row.get("qid")) or text_cell(row.get("answer")) or self._qids.get(index, "")
        if not entity_id:
            entity_id = f"kb-{index}"
            met.add("entities without a Wikidata id are called kb-<index>", entity_id)
        elif self._indices.get(entity_id, index) != index:
            met.add(f"indices in {ENTITY_FILE} that {ID_FILE} contradicts", f"{entity_id} ({index})")
        number = self.rows.add(
            entity_id,
            name=unquote_name(row.get("entity_name") or ""),
            text=row.get("attr") or row.get("desc") or "",
            images=[f"{self._image_folder}/{image}" for image in _image_list(row) if image],
            attributes={"index": row.get("id")} | {key: row[key] for key in row if key not in FIELDS},
        )
        if row.get("attr") and row.get("desc"):
            self._descriptions.setdefault(self.rows.ids[number], clean_text(row["desc"]).strip())
        if index and self._row_of_index.setdefault(index, number) != number:
            met.add("indices of several entities count as the first one's", f"{index} ({entity_id})")

    def find(self, answer: str | int | None) -> str | None:
        """The id of the entity that an answer names by its Wikidata id, its index, or another id of that index.

        An answer that the KB lacks comes back as it is; None means NIL.
        """
        text = text_cell(answer)
        if is_nil(text):
            return None
        row = self._row_of_index.get(self._indices.get(text, text))
        if text in self.rows or row is None:
            return text
        entity_id = self.rows.ids[row]
        self.rows.met.add(f"answers were found through {ID_FILE} or their index", f"{text} → {entity_id}")
        return entity_id


def read_kb(root: Path, image_folder: str) -> MimicKB:
    """The KB in the release's folder `root`.

    Raises:
        DataError: A file cannot be read, or holds rows of another shape.
    """
    names = list_names(root)
    kb = MimicKB(_read_indices(root / ID_FILE) if ID_FILE in names else {}, image_folder)
    file = ENTITY_FILE if ENTITY_FILE in names else DESCRIBED_FILE
    for row in _read_entities(root / file):
        kb.add(row)
    if file == ENTITY_FILE and DESCRIBED_FILE in names:
        for row in _read_entities(root / DESCRIBED_FILE):
            kb.describe(row)
    return kb


def _read_entities(path: Path) -> Iterator[dict[str, Any]]:
    for number, row in read_items(path):
        what = "entities {id, type, entity_name, attr or desc, image_list, qid}"
        check_row(_problem(row), what, path, f"in row {number}")
        yield row


def unquote_name(name: str, sentence: str = "") -> str:
    """A name without URL quoting, where it is quoted.

    What stands in the sentence as it is, or is no valid quoting of UTF-8, is left alone; a `+` is a plus.

    Example:
        >>> unquote_name("Beyonc%C3%A9"), unquote_name("100% A+B"), unquote_name("50%ab"), unquote_name("%41", "is %41")
        ('Beyoncé', '100% A+B', '50%ab', '%41')
    """
    if "%" not in name or name in sentence:
        return name
    try:
        return unquote_to_bytes(clean_text(name)).decode("utf-8")
    except UnicodeDecodeError:
        return name


def _read_indices(path: Path) -> dict[str, str]:
    indices = {}
    for qid, index in read_members(path):
        if isinstance(index, bool) or not isinstance(index, int | str):
            raise DataError(
                f"an index for each Wikidata id in {path}", f"{json_type(index)} for {qid}", "Download the file again."
            )
        indices[text_cell(qid)] = text_cell(index)
    return indices


def _image_list(row: dict[str, Any]) -> list[str]:
    images = row.get("image_list") or []
    return [images] if isinstance(images, str) else list(images)


def _problem(row: Any) -> str | None:
    if problem := field_problem(row, _TYPES):
        return problem
    if not any(text_cell(row.get(name)) for name in ("id", "qid", "answer")):
        return "neither 'id' nor 'qid'"
    images = row.get("image_list")
    images = images if isinstance(images, list) else [images]
    if not all(isinstance(image, _TEXT) for image in images):
        return "no array of file names as 'image_list'"
    return None
