"""A linker's folder whose entities come and go: all that are named or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dim.core.known_classes import trusted_by
from dim.core.locks import folder_lock
from dim.linker.linker import Linker


@contextmanager
def changed_folder(
    folder: Path, purpose: str, trust: str | None = None, image_root: Path | None = None, device: str = "auto"
) -> Iterator[Linker]:
    """Yields the linker of a folder, which is saved there when all went well; else the folder stays as it is.

    Args:
        folder: What `Linker.save` wrote. Killed at any moment, it is as it was or whole.
        purpose: Who changes it, for whoever wants to meanwhile.
        trust: Packages, separated by commas, whose classes the folder may name; they are imported.
        image_root: Where the images of the linker's KB stand that are not in the folder.
        device: Where encoders compute.

    Raises:
        InUseError: Another process changes it.
        DimError: It cannot be opened or written.
    """
    with folder_lock(folder, purpose, whole=True):  # what another process saves meanwhile would be lost
        linker = Linker.from_pretrained(folder, device, trusted=trusted_by(trust), image_root=image_root)
        yield linker
        linker.save(folder)
