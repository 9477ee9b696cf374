"""Images that rows name without their suffix."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path, PurePosixPath

from dim.core.text_form import one_form
from dim.data.files import explain_read_errors


def images_by_stem(root: Path, folder: str, stems: Container[str] | None = None) -> dict[str, str]:
    """Stem → path relative to `root` of the images in its subfolder `folder`, of some stems or of all.

    Of several suffixes the first in the alphabet counts. A folder that is not there has no image.

    Raises:
        DataError: The folder cannot be read.
    """
    if not (root / folder).is_dir():
        return {}
    with explain_read_errors(root / folder), os.scandir(root / folder) as entries:
        names = sorted((one_form(entry.name) for entry in entries), reverse=True)
    return {
        PurePosixPath(name).stem: f"{folder}/{name}"
        for name in names
        if stems is None or PurePosixPath(name).stem in stems
    }
