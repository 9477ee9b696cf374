"""The knowledge base of OVEN and InfoSeek: six million Wikipedia pages as JSON lines, read a line at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dim.data.files import clean_text, field_problem, list_names, read_json_lines
from dim.errors import DataError

KB_FILES = ("Wiki6M_ver_1_0.jsonl", "Wiki6M_ver_1_0_title_only.jsonl")
IMAGE_FOLDERS = ("wikipedia_images_full", "wikipedia_images")
_TYPES = {
    "wikidata_id": str,
    "wikipedia_title": str | None,
    "wikipedia_summary": str | None,
    "wikipedia_image_url": str | None,
}
_BLOCK = 50_000  # rows turned into Arrow at a time


def find_kb(root: Path) -> Path | None:
    """The file of the pages in `root`, the full one where both are there."""
    names = list_names(root) if root.is_dir() else frozenset[str]()
    return next((root / file for file in KB_FILES if file in names), None)


def read_kb(path: Path, root: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The entities (id, name, images), their summaries (entity_id, text), and notes.

    Of a page its id, title and summary are kept, as Arrow; the whole article, most of the file, is not.

    Raises:
        DataError: A line is no page.
    """
    folder = next((name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    ids, names, texts = _Column(), _Column(), _Column()
    for number, row in read_json_lines(path):
        problem = field_problem(row, _TYPES, required=("wikidata_id",))
        if problem or not row["wikidata_id"].strip():
            raise DataError(
                f"pages {{wikidata_id, wikipedia_title, wikipedia_summary}} in {path}",
                f"{problem or 'an empty id'} in line {number}",
                "Download it again.",
            )
        ids.add(row["wikidata_id"].strip())
        names.add(row.get("wikipedia_title") or "")
        texts.add(row.get("wikipedia_summary") or "")
    table = pa.table({"id": ids.array(), "name": names.array(), "text": texts.array()})
    table, num_repeats = _each_once(table)
    notes = [f"pages of {path.name} whose id came before were left out: {num_repeats:,}"] if num_repeats else []
    with_text = table.filter(pc.not_equal(table["text"], ""))
    if not len(with_text):
        notes.append(f"{path.name} has no summaries: the entities have no text")
    entities = table.select(["id", "name"]).to_pandas()
    if folder:
        # 2 million of the six have an image; the folder is named by the first four characters of the id.
        entities["images"] = [[f"{folder}/{entity_id[:4]}/{entity_id}.jpg"] for entity_id in entities["id"]]
    summaries = with_text.select(["id", "text"]).rename_columns(["entity_id", "text"]).to_pandas()
    return entities, summaries, notes


def _each_once(table: pa.Table) -> tuple[pa.Table, int]:
    numbers = pa.array(np.arange(len(table)))
    first = table.select(["id"]).append_column("row", numbers).group_by("id").aggregate([("row", "min")])["row_min"]
    if len(first) == len(table):
        return table, 0
    kept = first.combine_chunks()
    return table.take(kept.take(pc.array_sort_indices(kept))), len(table) - len(kept)


class _Column:
    """Texts that become Arrow as they come: strings of Python for one block at a time."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._blocks: list[pa.Array] = []

    def add(self, value: str) -> None:
        """Takes in one text."""
        self._open.append(clean_text(value))
        if len(self._open) == _BLOCK:
            self._close()

    def _close(self) -> None:
        self._blocks.append(pa.array(self._open, pa.large_string()))
        self._open.clear()

    def array(self) -> pa.ChunkedArray:
        """All that was added."""
        self._close()
        return pa.chunked_array(self._blocks, pa.large_string())
