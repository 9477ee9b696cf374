"""TideDra's Multimodality-Linking: rows of WikiMEL and Richpedia with negatives, and `KG.json`, facts of Wikidata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from dim.data.files import clean_text, json_type, list_names, read_object
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.dim_release import read_rows, row_images
from dim.releases.entity_rows import EntityRows
from dim.releases.entity_texts import texts_table
from dim.releases.image_folder import find_image_folder
from dim.releases.mention_rows import MentionRows, is_nil
from dim.releases.split_files import SPLITS, empty_splits, matching
from dim.releases.title_kb import GOLDS_ALONE

KG_FILES = ("KG.json", "Richpedia-KG.json", "Richpedia-KGv2.json")
#: The names of a split's file, the surest first.
SPLIT_FILES = (r"{}_v2\.json", r".*-MELv2_{}\.json", r"{}\.json")
Row = tuple[str, str, str, dict[str, Any]]  # split, file, key, fields


class TideDra(Converter):
    """Reads the rows, and the texts of their answers.

    The release names its answers alone, so they are the KB: entities that only `KG.json` and the negatives know would
    stand out by having no name.
    """

    layout = "tidedra"
    needs = f"train_v2.json, dev_v2.json, test_v2.json (or *-MELv2_train.json …) beside {' or '.join(KG_FILES)}"

    def recognizes(self, root: Path) -> bool:
        """Tells by the file of the texts, or by names that no other release has."""
        if root.is_file():
            return False
        return not list_names(root).isdisjoint(KG_FILES) or bool(_split_files(root, SPLIT_FILES[:2]))

    def read(self, root: Path) -> Release:
        """Reads the release.

        Raises:
            DataError: As the contract says, and where there is no split file at all or one has no row.
        """
        files = _split_files(root, SPLIT_FILES)
        if not files:
            raise DataError(f"mentions in {root} (train_v2.json …)", "none of these files", "Add one of them.")
        notes = empty_splits(files)
        raw = [(split, file, key, row) for split, file in files.items() for key, row in read_rows(root / file)]
        entities = _entities(raw)
        table = entities.table().drop(columns="images")
        texts, text_notes = _read_texts(root, entities.ids)
        kept, candidate_notes = _candidates(raw)
        folder = find_image_folder(root)
        rows = MentionRows(entities.ids)
        for split, file, key, row in raw:
            images = row_images(row)
            rows.add(
                split,
                where=f"{file} {key}",
                mention=row["mentions"],
                context=row.get("sentence") or "",
                answer=row["answer"],
                # As TideDra's code has it, the folder in the row is not where the images are.
                images=[PurePosixPath(image).name for image in images] if folder else images,
                candidates=rows.known(row["candidates"]) if kept and row.get("candidates") else None,
                attributes={"key": key},
            )
        candidate_notes += rows.candidate_notes()
        return Release(
            name=root.resolve().name,
            source="TideDra, Multimodality-Linking (rows of MELBench and GHMFC)",
            licence="unknown",
            entities=table,
            texts={"brief": texts} if texts is not None else {},
            mentions=rows.table(),
            image_root=folder,
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=[*notes, GOLDS_ALONE, *text_notes, *candidate_notes],
        )


def _split_files(root: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Split → file, of the first pattern that any file matches."""
    names = list_names(root)
    for pattern in patterns:
        found = {
            split: files[0]
            for split, stems in SPLITS.items()
            if (files := matching(names, pattern.format(f"(?:{'|'.join(stems)})")))
        }
        if found:
            return found
    return {}


def _entities(raw: Iterable[Row]) -> EntityRows:
    """The answers in the order of their ids, which says nothing of the splits."""
    named: dict[str, dict[str, None]] = {}
    for _, _, _, row in raw:
        answer, name = row["answer"], row.get("entities")
        if not is_nil(answer):
            names = named.setdefault(answer.strip(), {})
            if isinstance(name, str):
                names[name] = None
    entities = EntityRows()
    for entity_id in sorted(named):
        known = list(named[entity_id]) or [""]
        entities.add(entity_id, name=known[0], text="", aliases=known[1:])
    return entities


def _candidates(raw: Iterable[Row]) -> tuple[bool, list[str]]:
    """Whether the rows' candidates are kept, and notes: lists of negatives are none."""
    with_list = [row for _, _, _, row in raw if isinstance(row.get("candidates"), list) and row["candidates"]]
    holding = sum(row["answer"] in row["candidates"] for row in with_list)
    if not with_list or holding:
        return bool(with_list), []
    return False, [
        f"candidates of {len(with_list):,} rows are not kept: none of these lists holds its answer (they are negatives)"
    ]


def _read_texts(root: Path, entity_ids: Iterable[str]) -> tuple[pd.DataFrame | None, list[str]]:
    """The texts of the answers in the KG file, and notes."""
    names = list_names(root)
    file = next((name for name in KG_FILES if name in names), None)
    if file is None:
        return None, [f"no {' or '.join(KG_FILES)}: the entities have no text"]
    facts = read_object(root / file)
    texts = {clean_text(key).strip(): _text(value, root / file, key) for key, value in facts.items()}
    ids = list(entity_ids)
    unnamed = len(texts.keys() - set(ids))
    notes = [f"entities of {file} that are no answer have no name and are left out: {unnamed:,}"] if unnamed else []
    return texts_table((entity_id, texts.get(entity_id, "")) for entity_id in ids), notes


def _text(value: Any, path: Path, key: str) -> str:
    """A text as it is; of facts, a sentence each: `Sex: male. Occupation: politician, writer.`."""
    if isinstance(value, Mapping) and all(isinstance(fact, str) for fact in value.values()):
        facts = (
            f"{name}: {', '.join(filter(None, fact.split(',')))}." for name, fact in value.items() if fact.strip(",")
        )
        return clean_text(" ".join(facts))
    if not isinstance(value, str | None):
        raise DataError(
            f"a text or an object of facts for each entity in {path}", f"{json_type(value)} for {key}", "Check it."
        )
    return clean_text(value or "").strip()
