"""Where a linker comes from: a run, or a repository on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from dim.datamodule import LinkingDataModule
from dim.errors import DataError
from dim.features.live import LiveEncoder


def live_encoder(module: LinkingDataModule) -> LiveEncoder:
    """The encoders of a run."""
    return LiveEncoder(
        text_encoder=module.text_encoder,
        image_encoder=module.image_encoder,
        name_encoder=module.name_encoder,
        captioner=module.captioner,
        context_template=module.context_template,
    )


def folder_of(folder_or_id: str | Path, **options: Any) -> Path:
    """The folder itself, or that of a linker on the hub, downloaded.

    Raises:
        DataError: There is no such repository, or the hub cannot be reached.
    """
    if Path(folder_or_id).is_dir():
        return Path(folder_or_id)
    model_id = str(folder_or_id)
    if model_id.startswith((".", "/", "~")) or model_id.count("/") > 1:
        raise DataError(f"a linker's folder at {model_id}", "no such folder", "Write one: dim export RUN FOLDER.")
    try:
        return Path(snapshot_download(model_id, **options))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"a linker's folder or an id on the Hugging Face hub: {model_id}",
            f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            "Check the name, or give a local folder.",
        ) from error
