"""Where a linker comes from, a folder or a repository on the Hugging Face hub, and how it gets there."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dim.core.excerpts import first_line
from dim.core.folder_files import peek_json
from dim.core.sealed import Manifest
from dim.errors import ConfigError, DataError
from dim.linker.entity_table import KeptImages
from dim.linker.folder import MANIFEST

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from dim.linker.linker import Linker


def folder_of(
    folder_or_id: str | Path,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
) -> Path:
    """A local folder as it is; for an id on the hub, the folder in the hub's cache with its files at one commit.

    The name of a folder in the cache is the commit's hash.

    Raises:
        DataError: There is no such repository, or the hub cannot be reached and its cache has no commit of it.
    """
    if Path(folder_or_id).is_dir():
        return Path(folder_or_id)
    model_id = str(folder_or_id)
    if model_id.startswith((".", "/", "~")) or model_id.count("/") > 1:
        raise DataError(f"a linker's folder at {model_id}", "no such folder", "Write one: dim export RUN FOLDER.")
    from huggingface_hub import snapshot_download  # a linker of this machine does without
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    from dim.encoders.hub import pin

    try:
        pinned = pin(model_id, revision, "a linker", cache_dir, token)
        options: dict[str, Any] = {"local_files_only": pinned.is_offline, "cache_dir": cache_dir, "token": token}
        return Path(snapshot_download(model_id, revision=pinned.commit, **options))
    except ConfigError as error:
        raise DataError(
            error.expected, error.found, f"Check the name, or write a folder: dim export RUN FOLDER. {error.remedy}"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"a linker's folder or an id on the Hugging Face hub: {model_id}",
            f"{type(error).__name__}: {first_line(error)}",
            "Check the name, or give a local folder.",
        ) from error


def noted_commit(about: dict[str, Any], folder_or_id: str | Path, folder: Path) -> dict[str, Any]:
    """What a linker comes from, with the commit where that is the hub."""
    return about if Path(folder_or_id).is_dir() else about | {"hub": f"{folder_or_id}@{folder.name}"}


def pushed(
    linker: Linker,
    repo_id: str,
    trusted: Sequence[str],
    private: bool | None,
    token: str | None,
    branch: str | None,
    commit_message: str,
    create_pr: bool,
) -> str:
    """The address of the commit of a linker that was saved to the hub; what its home is stays so.

    Files of the linker that stood there before go, since no folder with files that its manifest lacks is opened.
    """
    from huggingface_hub import HfApi

    api, home = HfApi(token=token), linker.home
    with TemporaryDirectory() as place:
        images: KeptImages = "copies" if linker.about.get("images") == "copies" else "none"
        try:
            linker.save(Path(place) / "linker", images, trusted=trusted)
        finally:
            linker.home = home
        repository = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        before = _files_of_linker(api, repository, branch, Path(place) / "before")
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=Path(place) / "linker",
            revision=branch,
            commit_message=commit_message,
            create_pr=create_pr,
            delete_patterns=[glob.escape(name) for name in before] or None,
        )
    return str(commit)


def _files_of_linker(api: HfApi, repository: str, branch: str | None, place: Path) -> list[str]:
    """The files that the manifest of the linker in a repository names; none where there is no linker yet."""
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    try:
        manifest = api.hf_hub_download(repository, MANIFEST, revision=branch, local_dir=place)
        return list(peek_json(Path(manifest), Manifest)["files"])
    except (EntryNotFoundError, RevisionNotFoundError, ValueError):  # the last one: a damaged manifest names none
        return []
