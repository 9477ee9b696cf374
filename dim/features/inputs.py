"""What is to be encoded for a field: each text or image once, in an order that suits the encoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.data.regions import split_region
from dim.storage import content_hash

FileState = tuple[str, int, int]  #: (path, size, mtime_ns); size -1 where there is no file


@dataclass(frozen=True)
class Inputs:
    """The inputs of all owners, without duplicates.

    Attributes:
        unique: Texts, longest first, or tuples of image paths, sorted.
        rows: [num_owners] int64, the position in `unique`; -1 where an owner has nothing.
        files: The state of each image file; empty for texts.
    """

    unique: Sequence[Any]
    rows: NDArray[np.int64]
    files: Sequence[FileState] = field(default_factory=list)

    @classmethod
    def of_texts(cls, owners: Sequence[str | None]) -> Inputs:
        """Texts (None: nothing), sorted by length: a batch has little padding, and one that is too large fails first.

        Example:
            >>> Inputs.of_texts(["a", None, "ccc", "a"]).rows.tolist()
            [1, -1, 0, 1]
        """
        unique = sorted({text for text in owners if text is not None}, key=lambda text: (-len(text), text))
        return cls(unique, _rows(unique, owners))

    @classmethod
    def of_images(cls, owners: Sequence[tuple[str, ...] | None], root: Path) -> Inputs:
        """Tuples of image paths relative to `root` (None: nothing)."""
        unique = sorted({paths for paths in owners if paths is not None})
        files = [file_state(root, path) for path in sorted({path for paths in unique for path in paths})]
        return cls(unique, _rows(unique, owners), files)

    @cached_property
    def hash(self) -> str:
        """Changes with any input, any image file, and the order of the owners."""
        texts = (value if isinstance(value, str) else json.dumps(value) for value in self.unique)
        return content_hash(*texts, json.dumps(self.files), self.rows.tobytes())


def file_state(root: Path, path: str) -> FileState:
    """What tells that an image file is still the same; `path` may name a region of it."""
    try:
        status = (root / split_region(path)[0]).stat()
    except (OSError, ValueError):
        return path, -1, 0
    return path, status.st_size, status.st_mtime_ns


def _rows(unique: Sequence[Any], owners: Sequence[Any]) -> NDArray[np.int64]:
    position = {value: i for i, value in enumerate(unique)} | {None: -1}
    return np.fromiter((position[owner] for owner in owners), np.int64, len(owners))
