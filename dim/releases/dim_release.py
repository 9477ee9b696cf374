"""The release of DIM and DWE: WikiMEL, Richpedia, and their refreshed twins Wiki+ and Rich+."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from dim.core.text_form import one_form
from dim.data.files import check_row, clean_text, field_problem, json_type, list_names, read_json, read_object
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.entity_rows import named_entities
from dim.releases.entity_texts import read_named_texts, texts_of_kb
from dim.releases.image_folder import find_image_folder
from dim.releases.mention_rows import MentionRows

SPLIT_FILES = {"train": "train.json", "dev": "dev.json", "test": "test.json"}
NAME_FILES = ("qid2ne.json", "ne2qid.json")
ORDER_FILE, CANDIDATES_FILE = "qids_ordered.json", "search_top100.json"
IMAGE_LIST = "img_list.json"  #: In GHMFC's Richpedia: says that images are called by the rows' ids.
#: Of two files of one text the first counts.
TEXT_FILES = {"brief": ("brief.json", "qid2abs.json"), "brief_long": ("brief_long.json", "qid2abs_long.json")}
_OF_CAPTION = re.compile(r"-[0-9]+$")  # what tells several mentions of a caption apart in their ids


class DimRelease(Converter):
    """Reads `train.json`, `dev.json`, `test.json`, the names, order and texts of the KB, and search candidates."""

    layout = "dim"
    needs = f"{', '.join(SPLIT_FILES.values())} (one or more) beside {' or '.join(NAME_FILES)}"

    def recognizes(self, root: Path) -> bool:
        """Tells by the files that hold the KB."""
        return not list_names(root).isdisjoint((*NAME_FILES, ORDER_FILE))

    def read(self, root: Path) -> Release:
        """Reads the release; missing split files are noted.

        Raises:
            DataError: As the contract says, and where there is no split file at all or one has no row.
        """
        names = list_names(root)
        splits = {split: file for split, file in SPLIT_FILES.items() if file in names}
        if not splits:
            raise DataError(
                f"mentions in {root} ({', '.join(SPLIT_FILES.values())})", "none of these files", "Add one of them."
            )
        notes = [f"no {file}: the split {split} is empty" for split, file in SPLIT_FILES.items() if split not in splits]
        entities = read_entities(root, names)
        texts, text_notes = read_text_files(root, names, entities)
        notes += text_notes
        rows = MentionRows(entities["id"])
        candidates = read_candidates(root, names, rows)
        for split, file in splits.items():
            for key, row in read_rows(root / file):
                mention = row["mentions"]
                rows.add(
                    split,
                    where=f"{file} {key}",
                    mention=mention,
                    context=row.get("sentence") or "",
                    answer=row["answer"],
                    images=row_images(row),
                    candidates=candidates.get(one_form(mention)),
                    attributes={"key": key},
                    image_key=_OF_CAPTION.sub("", key),
                )
        notes += rows.candidate_notes()
        return Release(
            name=root.resolve().name,
            source="the release of DIM (arXiv 2407.12019) and DWE (arXiv 2312.11816)",
            licence="unknown",
            entities=entities,
            texts=texts,
            mentions=rows.table(),
            image_root=find_image_folder(root),
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=notes,
            images_by_key=IMAGE_LIST in names,
        )


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The key and fields of each mention row.

    Raises:
        DataError: The file has no row, or a row is not an object with `mentions`, `sentence` and `answer` as strings.
    """
    rows = read_object(path)
    if not rows:
        raise DataError(f"mention rows in {path}", "an empty object", "Remove the file, or download it again.")
    for key, row in rows.items():
        check_row(_row_problem(row), "rows of {id, sentence, imgPath, mentions, answer}", path, f"at the key '{key}'")
        yield clean_text(key), row


def row_images(row: dict[str, Any]) -> list[str]:
    """The images of a row: `imgPath` (one), or `img_list` (Richpedia: several)."""
    images = row.get("img_list") or [row.get("imgPath")]
    return [image for image in images if image]


def read_candidates(folder: Path, names: Container[str], rows: MentionRows) -> dict[str, list[str]]:
    """Mention (in its one form) → candidates that the KB has, as the release's string search found them.

    Args:
        folder: Where the file is.
        names: Of the files there; without `search_top100.json` there are no candidates.
        rows: Counts those that the KB lacks.
    """
    if CANDIDATES_FILE not in names:
        return {}
    path = folder / CANDIDATES_FILE
    searched = read_object(path)
    for mention, ids in searched.items():
        if not isinstance(ids, list) or not all(isinstance(entity_id, str) for entity_id in ids):
            raise DataError(
                f"an array of entity ids for each mention in {path}",
                f"something else at '{mention}'",
                "Download it again.",
            )
    return {one_form(mention): rows.known(ids) for mention, ids in searched.items()}


def _row_problem(row: Any) -> str | None:
    types = {"mentions": str, "sentence": str | None, "answer": str | None, "imgPath": str | None}
    if problem := field_problem(row, types, required=("mentions", "answer")):
        return problem
    images = row.get("img_list") or []
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        return "no array of file names as 'img_list'"
    return None


def read_entities(root: Path, names: frozenset[str]) -> pd.DataFrame:
    """The KB in the order of the release; a further name of the same entity becomes an alias."""
    spellings: dict[str, list[str]] = {}
    pairs = []
    if "qid2ne.json" in names:
        pairs += list(read_object(root / "qid2ne.json").items())
    if "ne2qid.json" in names:
        pairs += [(entity_id, name) for name, entity_id in read_object(root / "ne2qid.json").items()]
    if not pairs:
        raise DataError(f"entity names in {root} ({' or '.join(NAME_FILES)})", "none", "Add one of these files.")
    for entity_id, name in pairs:
        if not isinstance(entity_id, str) or not isinstance(name, str):
            raise DataError(
                f"one string for each key in {root / NAME_FILES[0]} and {NAME_FILES[1]}",
                f"the pair {entity_id!r}, {name!r}",
                "Download the release again.",
            )
        name = clean_text(name).strip()
        known = spellings.setdefault(entity_id, [name])
        if name != known[0]:
            known.append(name)
    # An entity without a name stays in the KB, so that KB sizes match those published; prepare counts it.
    return named_entities(_read_order(root / ORDER_FILE) if ORDER_FILE in names else list(spellings), spellings)


def read_text_files(
    folder: Path, names: Container[str], entities: pd.DataFrame
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The texts by variant, and a note where names stand before them: those of entities without one, set in place.

    Args:
        folder: Where the files are.
        names: Of the files there (`TEXT_FILES`). Of two files of one text the second is read for names alone.
        entities: The KB.
    """
    texts: dict[str, pd.DataFrame] = {}
    heads: dict[str, str] = {}
    for variant, file in [(name, file) for name, files in TEXT_FILES.items() for file in files if file in names]:
        found = read_named_texts(folder / file)
        heads = {one_form(key): name for key, (name, _) in found.items() if name} | heads
        if variant not in texts:
            told = {key: text for key, (_, text) in found.items()}
            texts[variant] = texts_of_kb(folder / file, told, entities["id"])
    if not heads:
        return texts, []
    before = [heads.get(one_form(entity_id), "") for entity_id in entities["id"]]
    missing = [not name and bool(head) for name, head in zip(entities["name"], before, strict=True)]
    entities["name"] = [name or head for name, head in zip(entities["name"], before, strict=True)]
    more = f", and are those of {sum(missing):,} entities without one" if any(missing) else ""
    return texts, [f"names that stand before texts (`Name [SEP]. text`) were cut off: {len(heads):,}{more}"]


def _read_order(path: Path) -> list[str]:
    order = read_json(path)
    if not isinstance(order, list) or not all(isinstance(entity_id, str) for entity_id in order):
        raise DataError(f"an array of entity ids in {path}", json_type(order), "Download the release again.")
    return order
