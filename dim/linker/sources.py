"""Where a linker comes from: a run, or a repository on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from dim.encoders.hub import pin
from dim.errors import ConfigError, DataError
from dim.features.live import LiveEncoder
from dim.inference.data import DataModule


def live_encoder(module: DataModule) -> LiveEncoder:
    """The encoders of a run."""
    return LiveEncoder(
        text_encoder=module.text_encoder,
        image_encoder=module.image_encoder,
        name_encoder=module.name_encoder,
        captioner=module.captioner,
        context_template=module.context_template,
        context_reach=module.context_reach,
        text_template=module.text_template,
        name_alone=module.name_alone,
        num_images=module.num_images,
    )


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
            f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            "Check the name, or give a local folder.",
        ) from error


def noted_commit(about: dict[str, Any], folder_or_id: str | Path, folder: Path) -> dict[str, Any]:
    """What a linker comes from, with the commit where that is the hub."""
    return about if Path(folder_or_id).is_dir() else about | {"hub": f"{folder_or_id}@{folder.name}"}
