"""MELBench: `Richpedia-MEL.json`, `Wikidata-MEL.json` and `Weibo-MEL.json`. It has no split file and no KB text.

The image of a row is called by its id: `21717.jpg`, `Q42.jpg`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from dim.data.files import clean_text, json_type, read_object
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.caption_splits import (
    NO_SPLIT,
    WHERE_OFFICIAL,
    check_caption_splits,
    read_caption_splits,
    size_notes,
)
from dim.releases.dim_release import row_images
from dim.releases.entity_rows import named_entities
from dim.releases.image_folder import find_image_folder
from dim.releases.melbench_files import DATASETS, FILES, choose_file, is_melbench
from dim.releases.mention_rows import MentionRows, is_nil
from dim.releases.title_kb import GOLDS_ALONE

WIKIMEL = "Wikidata-MEL"
UNEQUAL = "fields of uneven length"


class MelBench(Converter):
    """Reads one of the files; a caption with several mentions becomes several rows."""

    layout = "melbench"
    needs = " or ".join(FILES)
    folders = (*DATASETS, *(f"{dataset}/{dataset}" for dataset in DATASETS))

    def recognizes(self, root: Path) -> bool:
        """Tells by the file's name; `root` may be the file itself, or hold it a folder down, as the repository does."""
        return is_melbench(root)

    def read(self, root: Path) -> Release:
        """Reads the release: the KB is what its rows name; without `splits.json` it has no splits.

        Raises:
            DataError: As the contract says, and where the folder holds several of the files, or only packed ones.
        """
        path = choose_file(root)
        captions = [(clean_text(key), row, _triples(row, key, path)) for key, row in read_object(path).items()]
        entities = _entities([triple for _, _, triples in captions for triple in triples or ()])
        splits = read_caption_splits(path.parent)
        if splits is not None:
            check_caption_splits(splits, (_caption(key, row) for key, row, _ in captions), path)
        rows = MentionRows(entities["id"])
        for key, row, triples in captions:
            if triples is None:
                rows.skip(None, UNEQUAL, f"{path.name} {key}")
                continue
            split = None if splits is None else splits.get(_caption(key, row))
            for mention, _, answer in triples:
                if splits is not None and split is None:
                    rows.skip(None, NO_SPLIT, f"{path.name} {key}")
                    continue
                rows.add(
                    split,
                    where=f"{path.name} {key}",
                    mention=mention,
                    context=row.get("sentence") or "",
                    answer=answer,
                    images=row_images(row),
                    attributes={"key": key},
                    image_key=key,
                )
        mentions = rows.table()
        return Release(
            name=path.stem,
            source="MELBench (Zhou et al., 2021)",
            licence="MIT",
            entities=entities,
            texts={},
            mentions=mentions,
            image_root=find_image_folder(path.parent),
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=[
                *(size_notes(mentions["split"]) if splits is not None else []),
                *([WHERE_OFFICIAL] if splits is None and path.stem == WIKIMEL else []),
                GOLDS_ALONE,
            ],
            images_by_key=True,
        )


def _caption(key: str, row: Any) -> str:
    """The id by which `splits.json` knows a caption."""
    return clean_text(text_cell(row["id"])) if row.get("id") else key


def _triples(row: Any, key: str, path: Path) -> list[tuple[str, str, str | None]] | None:
    """(mention, entity name, answer) of a caption; None where their numbers differ."""
    fields = [_strings(row.get(name)) for name in ("mentions", "entities", "answer")] if isinstance(row, dict) else []
    if not fields or None in fields:
        raise DataError(
            f"rows of {{id, sentence, mentions, entities, answer}} in {path}",
            f"{json_type(row) if not fields else 'a field that is no string or array of strings'} at the key '{key}'",
            "Check --layout, or put the row right.",
        )
    columns = [column for column in fields if column is not None]
    if len({len(column) for column in columns}) > 1:
        return None
    return [(mention or "", clean_text(name or ""), answer) for mention, name, answer in zip(*columns, strict=True)]


def _strings(value: Any) -> list[str | None] | None:
    values = value if isinstance(value, list) else [value]
    return values if all(item is None or isinstance(item, str) for item in values) else None


def _entities(triples: list[tuple[str, str, str | None]]) -> pd.DataFrame:
    """The answers as a KB, in the order in which they appear; further names of an answer become aliases."""
    names: dict[str, list[str]] = {}
    for _, name, answer in triples:
        if answer is not None and not is_nil(answer):
            known = names.setdefault(answer.strip(), [])
            if name and name not in known:
                known.append(name)
    return named_entities(list(names), names)
