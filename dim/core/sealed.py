"""Folders that are written whole and read only undamaged: files, and a manifest with the checksum of each."""

from __future__ import annotations

import glob
import json
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

from dim.core.checksums import CHECKSUMS, sha256
from dim.core.excerpts import few_of
from dim.core.files import content_hash
from dim.core.folder_files import peek_json, read_json, refit
from dim.core.output import UNASKED, Kind, files_in, output_folder
from dim.errors import DataError

MANIFEST = "index.json"
REMEDY = "Build it again; a linker's by dim export (of entities alone: dim linker)."
#: What hubs and their clients leave in a folder; nothing of dim reads it.
LEFT_BY_HUBS = (".gitattributes", ".gitignore", ".git", ".git/*", ".cache/huggingface/*", "README.md", "LICENSE*")


class FileFacts(TypedDict):
    """What a manifest says of a file."""

    bytes: int
    sha256: str


class Manifest(TypedDict):
    """What every manifest says; those of some contents say more."""

    content: str
    format_version: int
    files: dict[str, FileFacts]


@contextmanager
def sealed_folder(folder: Path, content: str, version: int, about: Mapping[str, Any]) -> Iterator[Path]:
    """Yields an empty folder to write files into; at the end it gets a manifest and takes the place of `folder`.

    A process that is killed before that leaves the old folder as it was.

    Args:
        folder: Where it will stand, in the place of nothing, or of one of the same content without further files; its
            parents are made.
        content: What it holds, such as "vector index"; `open_sealed` asks for the same.
        version: Of the format.
        about: What else the manifest says; JSON. It is read at the end.

    Raises:
        ConfigError: Something else stands at `folder`, or another process writes it.
    """
    with output_folder(folder, sealed_kind(f"a {content}", [content]), "dim", overwrite=True) as temporary:
        yield temporary
        seal(temporary, content, version, about)


def seal(folder: Path, content: str, version: int, about: Mapping[str, Any], name: str = MANIFEST) -> None:
    """Writes the manifest of all that is in a folder; `sealed_folder` has the rest."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {"content": content, "format_version": version, **about, "files": files}
    sealed = {**manifest, "seal": _seal(manifest)}
    (folder / name).write_text(json.dumps(sealed, indent=2) + "\n", encoding="utf-8")


def sealed_kind(what: str, contents: Container[str], name: str = MANIFEST) -> Kind:
    """Sealed folders of some contents, for `output`: what their manifests list, and nothing else, is theirs."""

    def manifest(folder: Path) -> dict[str, Any]:
        try:
            found = peek_json(folder / name, dict[str, Any])
            return dict(found) if found["content"] in contents and isinstance(found["files"], dict) else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    return Kind(
        what,
        lambda folder: bool(manifest(folder)),
        lambda folder: [name, *(glob.escape(file) for file in manifest(folder)["files"])],
    )


def open_sealed(
    folder: Path,
    content: str,
    version: int,
    name: str = MANIFEST,
    remedy: str = REMEDY,
    kind: type = Manifest,
) -> dict[str, Any]:
    """The manifest of a folder of `sealed_folder`, once every file was read, now or before, and found unchanged.

    Nothing else is in the folder but what hubs and systems leave there (`LEFT_BY_HUBS`, `output.UNASKED`), and no
    file is a link that leads out of it.

    Args:
        folder: It.
        content: As of `sealed_folder`.
        version: Of the format.
        name: Of the manifest.
        remedy: What to do where it is not what it should be.
        kind: A TypedDict of what the manifest says.

    Raises:
        DataError: There is no such folder, it holds something else, has another version, or is damaged.
    """
    path = folder / name
    what = f"a {content} in {folder}"
    if not path.is_file():
        raise DataError(what, f"no file {name}", remedy)
    manifest: dict[str, Any] = read_json(path, dict[str, Any], what, remedy)
    found = manifest.get("content"), manifest.get("format_version")
    if found[0] != content:
        raise DataError(what, f"a {str(found[0])[:80]}", remedy)
    if found[1] != version:
        raise DataError(f"{what} of format {version}", f"format {str(found[1])[:80]}", remedy)
    if manifest.pop("seal", None) != _seal(manifest):
        raise DataError(what, f"a damaged {name} (its content does not fit its seal)", remedy)
    manifest = refit(manifest, kind, name, what, remedy)
    _check_names(folder, manifest["files"], name, what, remedy)
    with CHECKSUMS.kept(folder), ThreadPoolExecutor() as pool:  # a checksum holds up nobody else
        list(pool.map(lambda file: _check(folder / file, manifest["files"][file], what, remedy), manifest["files"]))
    return manifest


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a file, or something below it, is a link that leads out of the folder that it stands in."""
    homes = _homes(folder)
    return any(not any(each.resolve().is_relative_to(home) for home in homes) for each in (path, *path.rglob("*")))


def _homes(folder: Path) -> list[Path]:
    """Where the files of a folder may lie."""
    home = folder.resolve()
    # The hub's cache keeps the files of a commit as links to a folder beside it.
    return [home, *(above.parent / "blobs" for above in home.parents if above.name == "snapshots")]


def _check_names(folder: Path, files: Mapping[str, Any], name: str, what: str, remedy: str) -> None:
    """Raises DataError where a file is listed that lies elsewhere, or one lies here that is not listed."""
    homes = _homes(folder)
    for file in files:
        place = PurePosixPath(file)
        is_inside = not place.is_absolute() and ".." not in place.parts and "\0" not in file
        if not is_inside or not any((folder / file).resolve().is_relative_to(home) for home in homes):
            raise DataError(what, f"a file that lies outside of it: {file[:200]}", remedy)
    known = (*LEFT_BY_HUBS, *UNASKED)
    others = [
        found
        for found in files_in(folder)
        if found not in files
        and found != name
        and not any(fnmatchcase(found, pattern) or fnmatchcase(PurePosixPath(found).name, pattern) for pattern in known)
    ]
    if others:
        raise DataError(
            f"{what} with nothing but the files that {name} lists",
            f"others: {few_of(sorted(others), 3)}",
            "Move them out if you know them; if you do not, get the folder again from where it came.",
        )


def _check(path: Path, facts: Mapping[str, Any], what: str, remedy: str) -> None:
    if not path.is_file():
        raise DataError(what, f"no file {path.name}", remedy)
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise DataError(what, f"a damaged file {path.name} ({size:,} bytes instead of {facts['bytes']:,})", remedy)
    if CHECKSUMS.of(path) != facts["sha256"]:
        raise DataError(what, f"a damaged file {path.name} (its SHA-256 differs)", remedy)


def _seal(manifest: Mapping[str, Any]) -> str:
    return content_hash(json.dumps(manifest, sort_keys=True))
