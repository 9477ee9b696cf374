"""WikiDiverse as its authors publish it: captions with their mentions, or mentions with candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim.data.files import json_type
from dim.data.table_files import text_cell
from dim.releases.base import Converter, Release
from dim.releases.entity_texts import texts_table
from dim.releases.hashed_images import HashedImages
from dim.releases.image_folder import find_image_folder
from dim.releases.raw_mentions import (
    BadRow,
    RawMention,
    collect_mentions,
    context_text,
    offset,
    shape_problem,
)
from dim.releases.split_files import check_split_files, find_split_files, first_row, read_rows
from dim.releases.title_kb import title_kb, title_texts
from dim.releases.titles import title_id
from dim.releases.wikidiverse_kb import read_images, read_texts

WITH_CANDIDATES = "_w_10cands.json"
OFFICIAL_SIZES = {"train": 13_205, "dev": 1_552, "test": 1_570}
SHAPE = "a row of another shape"
CAPTION = ("sentence", "image_url", "topic")
PASSAGE_MENTION = ("mention", "type", "start", "end", "url")
MENTION_ROW = (
    *("sentence", "image_url", "mention", "type", "left_context", "right_context"),
    *("url", "candidates", "topic", "start", "end"),
)


class WikiDiverse(Converter):
    """Reads either level, the entity texts and the entity images; entities are Wikipedia titles."""

    layout = "wikidiverse"
    needs = (
        f"train{WITH_CANDIDATES}, valid{WITH_CANDIDATES}, test{WITH_CANDIDATES}, or train.json, valid.json, test.json "
        "with rows [sentence, image_url, topic, mentions]"
    )

    def recognizes(self, root: Path) -> bool:
        """Tells by the file names, or by the shape of a first row."""
        if find_split_files(root, WITH_CANDIDATES):
            return True
        return any(_level(first_row(root / file)[1]) for file in find_split_files(root).values())

    def entity_id(self, key: str) -> str:
        """Titles are ids."""
        return title_id(key)

    def read(self, root: Path, rows_folder: Path | None = None, entity_folder: Path | None = None) -> Release:
        """Reads the release; where a split has a file with candidates, its file without is not read.

        Args:
            root: The release's folder, with the folder of images.
            rows_folder: Where the split files are, if not there.
            entity_folder: Where the entity texts and image URLs are, if not there.

        Raises:
            DataError: As the contract says, and where there is no split file at all or one has no row.
        """
        rows_folder, entity_folder = rows_folder or root, entity_folder or root
        with_candidates, plain = find_split_files(rows_folder, WITH_CANDIDATES), find_split_files(rows_folder)
        present = plain | with_candidates
        files = {split: present[split] for split in OFFICIAL_SIZES if split in present}
        notes = check_split_files(rows_folder, files)
        notes += [
            f"{plain[split]} was not read: {file} holds the same split with candidates"
            for split, file in with_candidates.items()
            if split in plain
        ]
        folder = find_image_folder(root)
        images = HashedImages(folder)
        rows = [row for split, file in files.items() for row in _read_split(rows_folder / file, split, images)]
        notes += _size_notes(rows)
        pairs, text_notes = read_texts(entity_folder)
        texts, num_repeats = title_texts(pairs)
        if num_repeats:
            text_notes.append(f"lines of entity texts whose entity came before (the first counts): {num_repeats:,}")
        entities, kb_notes = title_kb(rows, (title for title, _ in pairs))
        entities["images"], image_notes = read_images(entity_folder, entities["id"], images)
        mentions, row_notes = collect_mentions(rows, entities["id"], title_id)
        return Release(
            name=root.resolve().name,
            source="WikiDiverse (Wang et al., ACL 2022)",
            licence="CC BY-SA 4.0",
            entities=entities,
            texts={"brief": texts_table((i, texts.get(i, "")) for i in entities["id"])} if texts else {},
            mentions=mentions.table(),
            image_root=folder,
            rows_read=mentions.num_read,
            skipped=mentions.skipped,
            notes=[*notes, *text_notes, *kb_notes, *image_notes, *row_notes],
            named_urls=images.urls,
        )


def _level(row: Any) -> tuple[str, ...]:
    """The fields of a row at its level (caption or mention); empty where it is neither."""
    if isinstance(row, list) and len(row) == len(MENTION_ROW):
        return MENTION_ROW
    return CAPTION if isinstance(row, list) and len(row) == len(CAPTION) + 1 and isinstance(row[-1], list) else ()


def _read_split(path: Path, split: str, images: HashedImages) -> Iterator[RawMention | BadRow]:
    for where, row in read_rows(path):
        level = _level(row)
        if not level:
            yield BadRow(split, where, SHAPE)
        elif level is MENTION_ROW:
            yield _mention(split, where, dict(zip(MENTION_ROW, row, strict=True)), images)
        else:
            caption = dict(zip(CAPTION, row, strict=False))
            for number, item in enumerate(row[-1], start=1):
                place = f"{where}, mention {number}"
                if isinstance(item, list) and len(item) == len(PASSAGE_MENTION):
                    yield _mention(split, place, caption | dict(zip(PASSAGE_MENTION, item, strict=True)), images)
                else:
                    yield BadRow(split, place, SHAPE)


def _mention(split: str, where: str, fields: dict[str, Any], images: HashedImages) -> RawMention | BadRow:
    candidates, sides = (
        fields.pop("candidates", None),
        [fields.pop(f"{side}_context", None) for side in ("left", "right")],
    )
    problem = shape_problem(fields)
    if problem is None and not isinstance(candidates, list | None):
        problem = f"{json_type(candidates)} as 'candidates'"
    if problem is not None:
        return BadRow(split, where, problem)
    mention, context = text_cell(fields["mention"]), context_text(fields["sentence"])
    left, right = map(_join, sides)
    attributes = {
        "topic": text_cell(fields["topic"]),
        "image_url": text_cell(fields["image_url"]),
        "left_context": left,
        "right_context": right,
    }
    return RawMention(
        split=split,
        where=where,
        mention=mention,
        # The tokens beside the mention are lemmas, so the sentence is better wherever there is one.
        context=context if context.strip() else " ".join(filter(None, (left, mention, right))) if left or right else "",
        answer=text_cell(fields["url"]),
        images=tuple(images.names(attributes["image_url"])),
        span=(offset(fields["start"]), offset(fields["end"])) if context.strip() else (None, None),
        candidates=None if candidates is None else tuple(c if isinstance(c, str) else text_cell(c) for c in candidates),
        type=text_cell(fields["type"]) or None,
        attributes={name: value for name, value in attributes.items() if value},
    )


def _join(tokens: Any) -> str:
    """The words beside a mention as one text."""
    return " ".join(filter(None, map(text_cell, tokens))) if isinstance(tokens, list) else text_cell(tokens)


def _size_notes(rows: list[RawMention | BadRow]) -> list[str]:
    sizes = Counter(row.split for row in rows)
    return [
        f"{split} has {sizes[split]:,} mention rows; the official split has {official:,}"
        for split, official in OFFICIAL_SIZES.items()
        if sizes[split] and sizes[split] != official
    ]
