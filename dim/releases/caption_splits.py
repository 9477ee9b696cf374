"""`splits.json` of GHMFC: the official split of WikiMEL, which the files of MELBench lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from dim.data.files import clean_text, json_type, list_names, read_object
from dim.data.table_files import text_cell
from dim.errors import DataError

SPLITS_FILE = "splits.json"
SPLITS = ("train", "dev", "test")
OFFICIAL_SIZES = {"train": 18_088, "dev": 2_627, "test": 5_131}  #: Mention rows of WikiMEL (22,136 captions).
NO_SPLIT = f"caption in no split of {SPLITS_FILE}"
WHERE_OFFICIAL = f"WikiMEL's own split is {SPLITS_FILE} of GHMFC: put it beside the file"


def read_caption_splits(root: Path) -> dict[str, str] | None:
    """The split of each caption by its id; None where the folder `root` has no `splits.json`.

    Raises:
        DataError: The file cannot be read, is no object of arrays of ids, or names a caption in two splits.
    """
    if SPLITS_FILE not in list_names(root):
        return None
    path = root / SPLITS_FILE
    splits: dict[str, str] = {}
    for split, captions in read_object(path).items():
        if split not in SPLITS or not isinstance(captions, list):
            raise DataError(
                f"an array of caption ids for each of {', '.join(SPLITS)} in {path}",
                f"{json_type(captions)} for '{split}'",
                "Download the file again.",
            )
        for caption in captions:
            if not isinstance(caption, str | int) or isinstance(caption, bool):
                raise DataError(f"caption ids in {path}", f"{json_type(caption)} in {split}", "Put the file right.")
            key = clean_text(text_cell(caption))
            if splits.setdefault(key, split) != split:
                raise DataError(
                    f"every caption in one split of {path}",
                    f"{key} in {splits[key]} and {split}",
                    "Put the file right.",
                )
    return splits


def check_caption_splits(splits: Mapping[str, str], captions: Iterable[str], path: Path) -> None:
    """Stops at a `splits.json` that belongs to other captions than those in the file `path`.

    Raises:
        DataError: No caption is in it.
    """
    captions = list(captions)
    if captions and splits.keys().isdisjoint(captions):
        raise DataError(
            f"the captions of {path.name} in {path.parent / SPLITS_FILE}",
            f"none of them; the first is '{captions[0]}'",
            f"It is the split of WikiMEL: move it away from other datasets, and {path.name} is divided by a draw.",
        )


def size_notes(rows: Iterable[str]) -> list[str]:
    """What is said of the split of each mention row, once `splits.json` gave it."""
    sizes = Counter(rows)
    given = " / ".join(f"{sizes[split]:,}" for split in SPLITS)
    official = " / ".join(f"{size:,}" for size in OFFICIAL_SIZES.values())
    if all(sizes[split] == size for split, size in OFFICIAL_SIZES.items()):
        return [f"the split is the official one of WikiMEL ({SPLITS_FILE}): {official} rows"]
    return [f"{SPLITS_FILE} gives {given} rows in {' / '.join(SPLITS)}; the official split of WikiMEL has {official}"]
