"""The split files of a release, and what their first row looks like where their names tell no layout."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dim.data.files import explain_read_errors, json_type, list_names, read_json, text_encoding
from dim.errors import DataError

SPLITS = {"train": ("train",), "dev": ("dev", "valid", "val"), "test": ("test",)}
SPLIT_OF = {stem: split for split, stems in SPLITS.items() for stem in stems}
_HEAD = 1 << 16


def find_split_files(root: Path, suffix: str = ".json", prefix: str = "") -> dict[str, str]:
    """Split → file name in `root`, in the order train, dev, test; a name is `train` or another stem between the two."""
    names = list_names(root) if not root.is_file() else frozenset[str]()
    files = {split: [f"{prefix}{stem}{suffix}" for stem in stems] for split, stems in SPLITS.items()}
    found = {split: next((file for file in of if file in names), None) for split, of in files.items()}
    return {split: file for split, file in found.items() if file is not None}


def find_matching_files(root: Path, pattern: str) -> list[str]:
    """The names in `root` that match a regular expression, as `matching`; none where it is a file."""
    return [] if root.is_file() else matching(list_names(root), pattern)


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """The names that match a regular expression as a whole, in any case, sorted."""
    return sorted(name for name in names if re.fullmatch(pattern, name, re.IGNORECASE))


def empty_splits(present: Container[object]) -> list[str]:
    """Notes on the splits that have no file."""
    return [f"no file for {split}: that split is empty" for split in SPLITS if split not in present]


def files_of_one(
    root: Path, pattern: re.Pattern[str], names: Mapping[str, str], example: str
) -> tuple[str, dict[str, str]]:
    """The name of a dataset, and split → file, where files carry both in their names.

    Args:
        root: The release's folder.
        pattern: Of a file's name; its groups are the dataset and the split.
        names: The dataset in small letters, without `_` → its name.
        example: Such a file, for the message.

    Raises:
        DataError: There are none, those of several datasets, or several of one split.
    """
    found = {file: match for file in sorted(list_names(root)) if (match := pattern.fullmatch(file))}
    files = {SPLIT_OF[match[2].lower()]: file for file, match in found.items()}
    datasets = {names[match[1].lower().replace("_", "")] for match in found.values()}
    if len(datasets) != 1 or len(files) < len(found):
        raise DataError(
            f"the split files of one dataset in {root}, such as {example}",
            ", ".join(found) or "none",
            "Keep the files of one dataset in the folder.",
        )
    return datasets.pop(), {split: files[split] for split in SPLITS if split in files}


def check_split_files(root: Path, files: dict[str, str]) -> list[str]:
    """Notes on the splits that have no file.

    Raises:
        DataError: No split has one.
    """
    wanted = [f"{stems[0]}.json" for stems in SPLITS.values()]
    if not files:
        raise DataError(f"mentions in {root} ({', '.join(wanted)})", "none of these files", "Add one of them.")
    return [f"no {split}.json: the split {split} is empty" for split in SPLITS if split not in files]


def first_row(path: Path) -> tuple[str, Any]:
    """How a JSON file begins: `[` and its first element, or `{` and the first object.

    Only the first 64 KiB are read; a row that goes on behind them, or is no JSON, counts as null.
    """
    with explain_read_errors(path), path.open("rb") as file:
        text = file.read(_HEAD).decode(text_encoding(path), "ignore").lstrip("\ufeff \t\r\n")
    bracket = text[:1]
    try:
        return bracket, json.JSONDecoder().raw_decode(text[1:].lstrip() if bracket == "[" else text)[0]
    except (ValueError, RecursionError):
        return bracket, None


def read_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The place (`train.json row 3`) and the value of each row of a JSON array.

    Raises:
        DataError: The file is unreadable, no array, or has no row.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"a JSON array in {path}", json_type(rows), "Check --layout: other releases use objects.")
    if not rows:
        raise DataError(f"mention rows in {path}", "an empty array", "Remove the file, or download it again.")
    for number, row in enumerate(rows, start=1):
        yield f"{path.name} row {number}", row
