"""Folders that are written whole and read only undamaged: files, and a manifest with the checksum of each."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dim.errors import DataError
from dim.output import Kind, output_folder
from dim.storage import content_hash

MANIFEST = "index.json"
REMEDY = "Build it again: dim index."


@contextmanager
def sealed_folder(
    folder: Path,
    content: str,
    version: int,
    about: Mapping[str, Any],
    name: str = MANIFEST,
) -> Iterator[Path]:
    """Yields an empty folder to write files into; at the end it gets a manifest and takes the place of `folder`.

    A process that is killed before that leaves the old folder as it was.

    Args:
        folder: Where it will stand, in the place of nothing, or of one of the same content without further files; its
            parents are made.
        content: What it holds, such as "vector index"; `open_sealed` asks for the same.
        version: Of the format.
        about: What else the manifest says; JSON. It is read at the end.
        name: Of the manifest.

    Raises:
        ConfigError: Something else stands at `folder`, or another process writes it.
    """
    with output_folder(folder, sealed_kind(f"a {content}", [content], name), "dim", overwrite=True) as temporary:
        yield temporary
        seal(temporary, content, version, about, name)


def seal(folder: Path, content: str, version: int, about: Mapping[str, Any], name: str = MANIFEST) -> None:
    """Writes the manifest of all that is in a folder; `sealed_folder` has the rest."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {"content": content, "format_version": version, **about, "files": files}
    sealed = {**manifest, "seal": _seal(manifest)}
    (folder / name).write_text(json.dumps(sealed, indent=2) + "\n", encoding="utf-8")


def sealed_kind(what: str, contents: Sequence[str], name: str = MANIFEST) -> Kind:
    """Sealed folders of some contents, for `dim.output`: what their manifests list, and nothing else, is theirs."""

    def manifest(folder: Path) -> dict[str, Any]:
        try:
            found = json.loads((folder / name).read_bytes())
            return dict(found) if found["content"] in contents and isinstance(found["files"], dict) else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    return Kind(
        what,
        lambda folder: bool(manifest(folder)),
        lambda folder: [name, *(glob.escape(file) for file in manifest(folder)["files"])],
    )


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
