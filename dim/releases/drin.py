"""DRIN's raw data: WikiMEL and WikiDiverse in the folders `candidates`, `entities`, `mentions` (and `images`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim.data.files import check_row, clean_text, field_problem, list_names, open_text, read_json
from dim.data.table_files import text_cell
from dim.errors import DataError
from dim.releases.base import Converter, Release
from dim.releases.dim_release import read_entities
from dim.releases.entity_texts import read_texts
from dim.releases.images_by_stem import images_by_stem
from dim.releases.mention_rows import MentionRows
from dim.releases.split_files import empty_splits, find_split_files
from dim.releases.titles import title_id
from dim.releases.wikidiverse import WITH_CANDIDATES, WikiDiverse

CANDIDATES, ENTITIES, MENTIONS = "candidates", "entities", "mentions"
SEARCHED = "top100"
WIKIMEL = "WIKIMEL_"  #: Before the split in the names of WikiMEL's files.
CANDIDATES_FILE, OTHER_CANDIDATES = "candidates-answer.tsv", "candidates.tsv"
TEXT_FILES = {"brief": "qid2abs.json", "summary": "qid2brief.json"}
MENTION_IMAGES, ENTITY_IMAGES = f"{MENTIONS}/KVQAimgs", f"{ENTITIES}/cleaned-images"


class Drin(Converter):
    """Reads one of the two datasets: WikiMEL with 100 candidates a mention, WikiDiverse with ten."""

    layout = "drin"
    needs = f"the folders {CANDIDATES}, {ENTITIES}, {MENTIONS} (WIKIMEL_train.json …, or train{WITH_CANDIDATES} …)"
    folders = (CANDIDATES, f"{CANDIDATES}/{SEARCHED}", ENTITIES, MENTIONS)

    def recognizes(self, root: Path) -> bool:
        """Tells by the three folders and the files in them."""
        if not all((root / folder).is_dir() for folder in (CANDIDATES, ENTITIES, MENTIONS)):
            return False
        wikimel = find_split_files(root / MENTIONS, prefix=WIKIMEL)
        return bool(wikimel or find_split_files(root / CANDIDATES, WITH_CANDIDATES))

    def entity_id(self, key: str) -> str:
        """Ids of Wikidata are ids; of WikiDiverse, titles are."""
        return key if key[:1] == "Q" and key[1:].isdigit() else title_id(key)

    def read(self, root: Path) -> Release:
        """Reads the release.

        Raises:
            DataError: As the contract says, and where there is no split file at all or one has no row.
        """
        files = find_split_files(root / MENTIONS, prefix=WIKIMEL)
        if files:
            return _read_wikimel(root, files)
        release = WikiDiverse().read(root, rows_folder=root / CANDIDATES, entity_folder=root / ENTITIES)
        release.source = "WikiDiverse (Wang et al., ACL 2022) as packed for DRIN (arXiv 2310.05589)"
        briefs = sorted(name for name in list_names(root / ENTITIES) if name.startswith("entity2brief"))
        unread = [*(f"{ENTITIES}/{name}" for name in briefs), f"{MENTIONS}/ (the same captions without candidates)"]
        release.notes.append(f"not read: {', '.join(unread)}")
        return release


def _read_wikimel(root: Path, files: dict[str, str]) -> Release:
    entities = read_entities(root / CANDIDATES, list_names(root / CANDIDATES))
    here = list_names(root / ENTITIES)
    texts = {
        variant: read_texts(root / ENTITIES / file, entities["id"])
        for variant, file in TEXT_FILES.items()
        if file in here
    }
    entity_images = images_by_stem(root, ENTITY_IMAGES, set(entities["id"]))
    entities["images"] = [[entity_images[i]] if i in entity_images else [] for i in entities["id"]]
    raw = [(split, file, key, row) for split, file in files.items() for key, row in _rows(root / MENTIONS / file)]
    captions = {key: key.split("-")[0] for _, _, key, _ in raw}
    mention_images = images_by_stem(root, MENTION_IMAGES, set(captions.values()))
    rows = MentionRows(entities["id"])
    candidates = {key: rows.known(ids) for key, ids in _read_candidates(root / CANDIDATES / SEARCHED)}
    for split, file, key, row in raw:
        image = mention_images.get(captions[key], f"{MENTION_IMAGES}/{captions[key]}.jpg")
        rows.add(
            split,
            where=f"{file} {key}",
            mention=row["mentions"],
            context=row.get("sentence") or "",
            answer=row["answer"],
            images=[image],
            candidates=candidates.get(key),
            attributes={"key": key},
        )
    notes = empty_splits(files)
    notes += rows.candidate_notes()
    if (root / CANDIDATES / SEARCHED / OTHER_CANDIDATES).is_file():
        notes.append(f"not read: {CANDIDATES}/{SEARCHED}/{OTHER_CANDIDATES} (DRIN's code reads {CANDIDATES_FILE})")
    has_images = any((root / folder).is_dir() for folder in (MENTION_IMAGES, ENTITY_IMAGES))
    return Release(
        name="WikiMEL-DRIN",
        source="WikiMEL as packed for DRIN (arXiv 2310.05589)",
        licence="unknown",
        entities=entities,
        texts=texts,
        mentions=rows.table(),
        image_root=root if has_images else None,
        rows_read=rows.num_read,
        skipped=rows.skipped,
        notes=notes,
    )


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The key and fields of each row; the file is an object key → row, or an array of rows with an `id`."""
    value = read_json(path)
    pairs = (
        value.items() if isinstance(value, dict) else [(None, row) for row in value] if isinstance(value, list) else []
    )
    if not pairs:
        raise DataError(f"mention rows in {path}", "none", "Remove the file, or download it again.")
    types = {"mentions": str, "answer": str | None, "sentence": str | None, "id": str | int | None}
    for number, (key, row) in enumerate(pairs, start=1):
        problem = field_problem(row, types, required=("mentions", "answer"))
        if problem is None and key is None and row.get("id") is None:
            problem = "no field 'id'"
        check_row(problem, "rows of {id, sentence, mentions, answer}", path, f"in row {number}")
        yield clean_text(text_cell(row["id"]) if key is None else key), row


def _read_candidates(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The key and the candidates of each line, with tabs between."""
    path = folder / CANDIDATES_FILE
    if not path.is_file():
        return
    with open_text(path, newline="\n") as file:
        for line in file:
            key, *ids = clean_text(line).strip("\r\n").split("\t")
            if key:
                yield key, [entity_id for entity_id in ids if entity_id]
