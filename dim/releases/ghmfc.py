"""GHMFC's WikiMEL: `nel_121.json` (one mention a row) and `splits.json`, the official split of the captions."""

from __future__ import annotations

from pathlib import Path

from dim.core.text_form import one_form
from dim.data.files import clean_text, list_names
from dim.data.table_files import text_cell
from dim.releases.base import Converter, Release
from dim.releases.caption_splits import (
    NO_SPLIT,
    SPLITS_FILE,
    WHERE_OFFICIAL,
    check_caption_splits,
    read_caption_splits,
    size_notes,
)
from dim.releases.dim_release import (
    NAME_FILES,
    read_candidates,
    read_entities,
    read_rows,
    read_text_files,
    row_images,
)
from dim.releases.image_folder import find_image_folder
from dim.releases.mention_rows import MentionRows

ROWS_FILE, INPUT_FOLDER = "nel_121.json", "input_data"


class Ghmfc(Converter):
    """Reads the rows, the split, the names and texts of the KB, and search candidates.

    A row without `imgPath` has the image `<caption id>.jpg`, as the repository names its samples.
    """

    layout = "ghmfc"
    needs = f"{ROWS_FILE} and {SPLITS_FILE} beside {' or '.join(NAME_FILES)}, also in {INPUT_FOLDER}"
    folders = (INPUT_FOLDER,)

    def recognizes(self, root: Path) -> bool:
        """Tells by the file of the rows."""
        return not root.is_file() and ROWS_FILE in list_names(_folder(root))

    def read(self, root: Path) -> Release:
        """Reads the release; without `splits.json`, splits are drawn by caption.

        Raises:
            DataError: As the contract says, and where the file has no row or there is no file of names.
        """
        folder = _folder(root)
        names = list_names(folder)
        entities = read_entities(folder, names)
        texts, text_notes = read_text_files(folder, names, entities)
        numbered = [
            (key, row, clean_text(text_cell(row.get("id"))) or key) for key, row in read_rows(folder / ROWS_FILE)
        ]
        splits = read_caption_splits(folder)
        if splits is not None:
            check_caption_splits(splits, (caption for _, _, caption in numbered), folder / ROWS_FILE)
        rows = MentionRows(entities["id"])
        candidates = read_candidates(folder, names, rows)
        for key, row, caption in numbered:
            where = f"{ROWS_FILE} {key}"
            split = None if splits is None else splits.get(caption)
            if splits is not None and split is None:
                rows.skip(None, NO_SPLIT, where)
                continue
            rows.add(
                split,
                where=where,
                mention=row["mentions"],
                context=row.get("sentence") or "",
                answer=row["answer"],
                images=row_images(row) or [f"{caption}.jpg"],
                candidates=candidates.get(one_form(row["mentions"])),
                attributes={"key": key},
            )
        mentions = rows.table()
        notes = [WHERE_OFFICIAL] if splits is None else size_notes(mentions["split"])
        notes += text_notes + rows.candidate_notes()
        return Release(
            name="WikiMEL",
            source="WikiMEL as packed for GHMFC (Wang et al., SIGIR 2022)",
            licence="unknown",
            entities=entities,
            texts=texts,
            mentions=mentions,
            image_root=find_image_folder(folder) or find_image_folder(root),
            rows_read=rows.num_read,
            skipped=rows.skipped,
            notes=notes,
        )


def _folder(root: Path) -> Path:
    """The folder of the files: the release's own, or `input_data` in it."""
    below = root / INPUT_FOLDER
    return below if INPUT_FOLDER in list_names(root) and below.is_dir() else root
