"""ShadowLink: short texts with one mention each; names that their commoner bearer overshadows. Text only, test only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim.data.files import check_row, field_problem, list_names
from dim.data.stream import read_items
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.entity_rows import EntityRows
from dim.releases.mention_rows import MentionRows
from dim.releases.title_kb import GOLDS_ALONE

FILES = ("Top.json", "Shadow.json", "Tail.json")
NO_PLACE = "no place in the text"


class ShadowLink(Converter):
    """Reads the three files as one test split; the file is the type of its mentions."""

    layout = "shadowlink"
    needs = " and ".join(FILES)

    def recognizes(self, root: Path) -> bool:
        """Tells by the file names: two of the three."""
        return len(list_names(root).intersection(FILES)) > 1

    def read(self, root: Path) -> Release:
        """Reads the release; the KB is its answers.

        Raises:
            DataError: As the contract says, and where none of the files is there.
        """
        there = list_names(root)
        files = [file for file in FILES if file in there]
        if not files:
            raise DataError(f"{self.needs} in {root}", "none of these files", "Check --layout.")
        raw = [(file, number, row) for file in files for number, row in _rows(root / file)]
        names = {text_cell(row["wiki_id"]): row["entity_name"] for _, _, row in reversed(raw)}
        entities = EntityRows()
        for entity_id in sorted(names, key=lambda key: (len(key), key)):
            entities.add(entity_id, name=names[entity_id], text="")
        rows = MentionRows(entities.ids)
        for file, number, row in raw:
            where, (mention, span) = f"{file} row {number}", _mention(row)
            if not mention:
                rows.skip("test", NO_PLACE, f"{where}: {row['span']}")
                continue
            rows.add(
                "test",
                where=where,
                mention=mention,
                context=row["example"],
                answer=text_cell(row["wiki_id"]),
                span=span,
                type=file.removesuffix(".json"),
            )
        return Release(
            name="ShadowLink",
            source="ShadowLink (Provatorova et al., EMNLP 2021)",
            licence="unknown",
            entities=entities.table().drop(columns="images"),
            texts={},
            mentions=rows.table(),
            image_root=None,
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=["the release is a test set: train and dev are empty", GOLDS_ALONE, "the entities have no text"],
        )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    types = {"example": str, "wiki_id": str | int, "entity_name": str, "entity_space_name": str | None, "span": list}
    for number, row in read_items(path):
        what = "rows of {example, span, wiki_id, entity_name}"
        check_row(field_problem(row, types), what, path, f"in row {number}", "Put it right.")
        yield number, row


def _mention(row: dict[str, Any]) -> tuple[str, tuple[int | None, int | None]]:
    """The mention and its place: `span` is start and length; where that is none, the shared name, if it is there."""
    span, text = row["span"], row["example"]
    if len(span) == 2 and all(type(number) is int for number in span):
        start, end = span[0], span[0] + span[1]
        if 0 <= start < end <= len(text):
            return text[start:end], (start, end)
    shared = row.get("entity_space_name") or ""
    return (shared, (None, None)) if shared and shared in text else ("", (None, None))
