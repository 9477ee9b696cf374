"""The knowledge base of OVEN and InfoSeek: six million Wikipedia pages as JSON lines, read a line at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dim.data.files import check_row, clean_text, field_problem, list_names, read_json_lines
from dim.data.streamed_texts import StreamedTexts
from dim.errors import DataError

KB_FILES = ("Wiki6M_ver_1_0.jsonl", "Wiki6M_ver_1_0_title_only.jsonl")
IMAGE_FOLDERS = ("wikipedia_images_full", "wikipedia_images")
_TYPES = {
    "wikidata_id": str,
    "wikipedia_title": str | None,
    "wikipedia_summary": str | None,
    "wikipedia_image_url": str | None,
}
_BLOCK = 10_000  # summaries turned into Arrow at a time


def find_kb(root: Path) -> Path | None:
    """The file of the pages in `root`, the full one where both are there."""
    names = list_names(root) if root.is_dir() else frozenset[str]()
    return next((root / file for file in KB_FILES if file in names), None)


class Summaries(StreamedTexts):
    """The summaries of the pages: most of what is kept, so they are read again where they are written.

    Args:
        path: The file of the pages.
        firsts: [num_pages], which pages come first under their id.
        num_texts: How many of those have a summary.
    """

    def __init__(self, path: Path, firsts: NDArray[np.bool_], num_texts: int) -> None:
        self._path, self._firsts, self._num_texts = path, firsts, num_texts

    def __len__(self) -> int:
        return self._num_texts

    def tables(self) -> Iterator[pa.Table]:
        """The rows (entity_id, text), in the order of the file.

        Raises:
            DataError: The file is another one than before.
        """
        pages = zip(_pages(self._path), self._firsts, strict=False)
        rows = ((page.id, page.text) for page, is_first in pages if is_first and page.text)
        num_rows = 0
        while block := list(islice(rows, _BLOCK)):
            num_rows += len(block)
            ids, texts = zip(*block, strict=True)
            yield pa.table({"entity_id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string())})
        if num_rows != self._num_texts:
            raise DataError(
                f"{self._num_texts:,} summaries in {self._path}, as it had at first",
                f"{num_rows:,}",
                "Leave the file as it is while it is prepared, and run the command again.",
            )


class _Page(NamedTuple):
    id: str
    name: str
    text: str


def read_kb(path: Path, root: Path) -> tuple[pd.DataFrame, Summaries, list[str]]:
    """The entities (id, name, images), their summaries, and notes.

    Ids and titles are kept in memory; summaries are read once more (`Summaries`), whole articles never.

    Raises:
        DataError: A line is no page.
    """
    folder = next((name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    ids, names, has_text = list[str](), list[str](), list[bool]()
    for page in _pages(path):
        ids.append(page.id)
        names.append(page.name)
        has_text.append(bool(page.text))
    entities = pd.DataFrame({"id": ids, "name": names}, dtype=object)
    firsts = ~entities["id"].duplicated().to_numpy()
    num_repeats = len(firsts) - int(firsts.sum())
    notes = [f"pages of {path.name} whose id came before were left out: {num_repeats:,}"] if num_repeats else []
    summaries = Summaries(path, firsts, int((firsts & np.array(has_text, bool)).sum()))
    if summaries.empty:
        notes.append(f"{path.name} has no summaries: the entities have no text")
    if num_repeats:
        entities = entities[firsts].reset_index(drop=True)
    if folder:
        # 2 million of the six have an image; the folder is named by the first four characters of the id.
        entities["images"] = [[f"{folder}/{entity_id[:4]}/{entity_id}.jpg"] for entity_id in entities["id"]]
    return entities, summaries, notes


def _pages(path: Path) -> Iterator[_Page]:
    for number, row in read_json_lines(path):
        problem = field_problem(row, _TYPES, required=("wikidata_id",))
        if problem is None and not row["wikidata_id"].strip():
            problem = "an empty id"
        what = "pages {wikidata_id, wikipedia_title, wikipedia_summary}"
        check_row(problem, what, path, f"in line {number}", "Download it again.")
        texts = (row["wikidata_id"].strip(), row.get("wikipedia_title") or "", row.get("wikipedia_summary") or "")
        yield _Page(*map(clean_text, texts))
