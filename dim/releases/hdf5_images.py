"""Images out of an HDF5 file, as FissFuse packs them: groups of datasets, each the bytes of one image file.

Such a file can name other files (external and soft links, external storage, virtual datasets) and compression by a
library that HDF5 looks for on disk. Nothing of that is followed or loaded: what is no plain dataset is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dim.core.files import atomic_path, explain_write_errors
from dim.core.progress import tracked
from dim.data.files import explain_read_errors
from dim.data.skipped import Skipped
from dim.display.lines import say
from dim.errors import ConfigError, DataError, MissingExtraError
from dim.images.endings import image_ending

GROUPS = ("mention_image", "entity_image")
MAX_BYTES = 64 << 20  #: Of one image file.
OWN_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}  #: Those that are part of HDF5 itself, by their number.
LINK, STORED_ELSEWHERE = "links to another place", "bytes that are in another file"
FILTERED, SHAPED = "bytes that a filter of another library has packed", "no bytes of a file of up to 64 MiB"
NO_IMAGE, NAMED = "no image file", "a name that no file may have"


def unpack_images(source: Path, out: Path) -> None:
    """Writes the images of an HDF5 file (FissFuse's `wikimel_image.h5`, `image.h5py`) as files.

    Args:
        source: The HDF5 file, with the groups `mention_image` and `entity_image` or one of them.
        out: The folder to write `mention_image/` and `entity_image/` into: the release's own, where `dim prepare`
            looks for them. Each folder appears at once and whole, and must not be there before.

    Raises:
        DataError: The file cannot be read, or has none of the groups.
        ConfigError: A folder to write is there already.
        MissingExtraError: h5py is not installed.
        StorageError: The disk is full, or `out` may not be written.
    """
    source, out = Path(source), Path(out)
    with _open(source) as file:
        groups = {name: group for name in GROUPS if (group := _group(file, name)) is not None}
        if not groups:
            raise DataError(
                f"the groups {' and '.join(GROUPS)} in {source}",
                ", ".join(list(file)[:8]) or "nothing",
                "Name the file that holds the images.",
            )
        for name in groups:
            with explain_write_errors(out / name):
                if (out / name).exists():
                    raise ConfigError(f"nothing at {out / name}", "a folder", "Remove it, or name another folder.")
        for name, group in groups.items():
            skipped = Skipped()
            with atomic_path(out / name) as folder:
                folder.mkdir()
                for file_name, content in tracked(_images(group, skipped), f"unpacking {name}", len(group)):
                    if content:
                        (folder / file_name).write_bytes(content)
            left_out = "".join(f"; left out: {n:,} with {reason}" for reason, n in skipped.counts.items())
            say(f"{out / name}: {len(group) - skipped.counts.total():,} images{left_out}")


def _open(source: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", "hdf5") from error
    while h5py.h5pl.size():  # the folders in which HDF5 looks for filters of other libraries
        h5py.h5pl.remove(0)
    with explain_read_errors(source):
        source.stat()
        try:
            return h5py.File(source, "r")
        except OSError as error:
            raise DataError(f"an HDF5 file at {source}", str(error), "Download it again, or check the path.") from error


def _group(file: Any, name: str) -> Any:
    """A group of the file itself; None where there is none, or a link instead."""
    import h5py

    if name not in file or not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return None
    return file[name] if isinstance(file[name], h5py.Group) else None


def _images(group: Any, skipped: Skipped) -> Iterator[tuple[str, bytes]]:
    """File name and content of each member of a group; no content where it was left out, which `skipped` counts."""
    for key in group:
        reason, content = _content(group, key)
        suffix = image_ending(content)
        if reason is None and not suffix:
            reason = NO_IMAGE
        if reason is None and (PurePosixPath(key).name != key or key in (".", "..") or "\0" in key):
            reason = NAMED
        if reason is not None:
            skipped.add(reason, key)
        yield f"{key}{suffix}", content if reason is None else b""


def _content(group: Any, key: str) -> tuple[str | None, bytes]:
    """Why a member is left out, and its bytes."""
    import h5py

    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        return LINK, b""
    member = group[key]
    if not isinstance(member, h5py.Dataset):
        return SHAPED, b""
    if member.is_virtual or member.external:
        return STORED_ELSEWHERE, b""
    created = member.id.get_create_plist()
    if any(created.get_filter(number)[0] not in OWN_FILTERS for number in range(created.get_nfilters())):
        return FILTERED, b""
    plain = (member.dtype == np.uint8 and member.ndim == 1) or (member.dtype.kind == "V" and member.shape == ())
    if not plain or member.dtype.names or member.nbytes > MAX_BYTES:
        return SHAPED, b""
    try:
        return None, np.asarray(member[()]).tobytes()
    except OSError:  # a broken block, a wrong checksum
        return NO_IMAGE, b""
