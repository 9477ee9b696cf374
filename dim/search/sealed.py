"""Folders that are written whole and read only undamaged: files, and a manifest with the checksum of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dim.errors import DataError
from dim.storage import atomic_path, content_hash

MANIFEST = "index.json"
REMEDY = "Build it again: dim index."


@contextmanager
def sealed_folder(
    folder: Path,
    content: str,
    version: int,
    about: Mapping[str, Any],
    name: str = MANIFEST,
    check: Callable[[Path], None] | None = None,
) -> Iterator[Path]:
    """Yields an empty folder to write files into; at the end it gets a manifest and takes the place of `folder`.

    A process that is killed before that leaves the old folder as it was.

    Args:
        folder: Where it will stand; its parents are made.
        content: What it holds, such as "vector index"; `open_sealed` asks for the same.
        version: Of the format.
        about: What else the manifest says; JSON. It is read at the end.
        name: Of the manifest.
        check: Is given the finished folder before it takes its place; where it raises, the old folder stays.
    """
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        yield temporary
        files = {
            path.relative_to(temporary).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        manifest = {"content": content, "format_version": version, **about, "files": files}
        sealed = {**manifest, "seal": _seal(manifest)}
        (temporary / name).write_text(json.dumps(sealed, indent=2) + "\n", encoding="utf-8")
        if check is not None:
            check(temporary)


def open_sealed(folder: Path, content: str, version: int, name: str = MANIFEST, remedy: str = REMEDY) -> dict[str, Any]:
    """The manifest of a folder of `sealed_folder`, once every file has been read and found unchanged.

    Raises:
        DataError: There is no such folder, it holds something else, has another version, or is damaged.
    """
    path = folder / name
    what = f"a {content} in {folder}"
    if not path.is_file():
        raise DataError(what, f"no file {name}", remedy)
    try:
        manifest = json.loads(path.read_bytes())
        found = manifest["content"], manifest["format_version"]
        seal = manifest.pop("seal", None)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(what, f"a damaged {name} ({type(error).__name__}: {error})", remedy) from error
    if found[0] != content:
        raise DataError(what, f"a {found[0]}", remedy)
    if found[1] != version:
        raise DataError(f"{what} of format {version}", f"format {found[1]}", remedy)
    if seal != _seal(manifest):
        raise DataError(what, f"a damaged {name} (its content does not fit its seal)", remedy)
    for file, facts in manifest["files"].items():
        _check(folder / file, facts, what, remedy)
    return dict(manifest)


def _check(path: Path, facts: Mapping[str, Any], what: str, remedy: str) -> None:
    if not path.is_file():
        raise DataError(what, f"no file {path.name}", remedy)
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise DataError(what, f"a damaged file {path.name} ({size:,} bytes instead of {facts['bytes']:,})", remedy)
    if _sha256(path) != facts["sha256"]:
        raise DataError(what, f"a damaged file {path.name} (its SHA-256 differs)", remedy)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(manifest: Mapping[str, Any]) -> str:
    return content_hash(json.dumps(manifest, sort_keys=True))
