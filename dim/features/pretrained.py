"""Loading what Transformers saved, from a folder or the Hugging Face hub, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from transformers.utils import logging

from dim.errors import ConfigError
from dim.features.weights import hash_files

SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin"}


def from_pretrained(kind: Any, path: str, revision: str | None, what: str, **options: Any) -> Any:
    """What `kind.from_pretrained` gives.

    Args:
        kind: A class of Transformers.
        path: A folder, or an id on the hub.
        revision: A branch, tag or commit on the hub.
        what: What is loaded, for the message: `a BLIP-2 model`.
        **options: Of `kind.from_pretrained`.

    Raises:
        ConfigError: There is no such folder, or nothing of that kind in it, or the hub cannot be reached.
    """
    folder = Path(path)
    is_folder = folder.is_dir()
    if not is_folder and (folder.is_absolute() or path.count("/") > 1 or path.startswith(".")):
        beside = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
        near = ", ".join(get_close_matches(folder.name, beside, cutoff=0.3)) or "nothing like it"
        raise ConfigError(f"a folder with {what} at {path}", f"no such folder; beside it: {near}", "Check the path.")
    try:
        with _no_bar() if is_folder else nullcontext():
            return kind.from_pretrained(path, revision=revision or "main", **options)
    except Exception as error:  # each file format and the hub client raise their own kinds
        found = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"
        remedy = (
            "Give a folder as written by save_pretrained: config.json, processor and tokenizer files, safetensors."
            if is_folder
            else "Give a local folder with the model, or make the hub reachable and check the id."
        )
        raise ConfigError(f"{what} at {path}", found, remedy) from error


def content_of(path: str, revision: str | None, config: Any = None) -> str:
    """What the content of `path` is known by: the hash of a folder's files; of a hub id, the id and its commit.

    Args:
        path: A folder or a hub id.
        revision: As asked for.
        config: The model's configuration, which knows the commit that a branch or tag stood for.
    """
    folder = Path(path)
    if folder.is_dir():
        files = [file for file in folder.iterdir() if file.suffix in SUFFIXES and file.is_file()]
        if any(file.suffix == ".safetensors" for file in files):
            files = [file for file in files if file.suffix != ".bin"]  # Transformers prefers safetensors
        return hash_files(files)
    return f"{path}@{getattr(config, '_commit_hash', None) or revision or 'main'}"


@contextmanager
def _no_bar() -> Iterator[None]:
    # Reading a folder takes a moment and needs no bar; a download keeps its own.
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()
