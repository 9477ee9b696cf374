"""An id on the Hugging Face hub, and the one commit of it that is read: a branch moves, a commit does not."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from dim.core.excerpts import first_line
from dim.errors import ConfigError

COMMIT = re.compile(r"[0-9a-f]{40}")
TIMEOUT = 10.0  #: Seconds that the hub may take to say which commit a branch stands for; it is asked once.
#: Folders that a command of dim makes, by the path that the shipped configurations name.
MADE_BY = {"demo/lm": "python -m dim demo-lm demo/small demo/lm"}


@dataclass(frozen=True)
class Pinned:
    """One commit of a repository on the hub.

    Attributes:
        commit: 40 hex digits.
        is_offline: Whether the hub could not be reached: what is not in the cache cannot be had.
    """

    commit: str
    is_offline: bool = False


def check_local(path: str, what: str) -> None:
    """Raises ConfigError where a path that is no folder cannot be an id on the hub, or is one that a command makes."""
    place = Path(path)
    if place.is_file():
        raise ConfigError(f"a folder with {what} at {path}", "a file", "Name the folder that it stands in.")
    if path in MADE_BY:
        raise ConfigError(f"a folder with {what} at {path}", "no such folder", f"Make it: {MADE_BY[path]}")
    if place.is_absolute() or path.count("/") > 1 or path.startswith((".", "~")):
        remedy = "Check the path."
        raise ConfigError(f"a folder with {what} at {path}", f"no such folder; beside it: {_beside(place)}", remedy)


def pin(
    model_id: str,
    revision: str | None,
    what: str,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
) -> Pinned:
    """The commit that a branch or tag stands for now; without a connection, for which it stood when last asked.

    The hub is asked once, for ten seconds at most, also for a commit that is in the cache: where it cannot be reached,
    what loads that commit is told so, and does not try again and again for each of its files.

    Args:
        model_id: As on the hub.
        revision: A branch, tag or commit; None: the branch main.
        what: What is looked for, for the message: `a BLIP-2 model`.
        cache_dir: Where what is downloaded is kept; None: where the hub's client keeps it.
        token: For a private repository; None: that of the login.

    Raises:
        ConfigError: The hub has no such model or revision, or it cannot be reached and the cache knows no commit.
    """
    cached = Path(cache_dir or constants.HF_HUB_CACHE) / f"models--{model_id.replace('/', '--')}"
    try:
        commit = str(HfApi(token=token).model_info(model_id, revision=revision, timeout=TIMEOUT).sha)
    except Exception as error:  # the hub's client raises those of its HTTP library, which was exchanged twice
        if revision is not None and COMMIT.fullmatch(revision) and (cached / "snapshots" / revision).is_dir():
            return Pinned(revision, is_offline=True)
        return _from_cache(model_id, revision, what, cached, error)
    _remember(cached, revision or constants.DEFAULT_REVISION, commit)
    return Pinned(commit)


def _from_cache(model_id: str, revision: str | None, what: str, cached: Path, error: Exception) -> Pinned:
    ref = cached / "refs" / (revision or constants.DEFAULT_REVISION)
    has_answered = isinstance(error, HFValidationError) or (
        isinstance(error, HfHubHTTPError) and error.response is not None and error.response.status_code < 500
    )
    if not has_answered and ref.is_file():
        return Pinned(ref.read_text(encoding="utf-8").strip(), is_offline=True)
    said = f"{type(error).__name__}: {first_line(error)}"
    named = f"{model_id} at {revision}" if revision else model_id
    if has_answered:
        says = "no id can be so" if isinstance(error, HFValidationError) else "the hub says"
        raise ConfigError(
            f"{what} at {named}: a folder, or an id on the Hugging Face hub",
            f"no such folder (beside it: {_beside(Path(model_id))}), and {says}: {said}",
            "Check the path or the id; a private model needs a login: hf auth login.",
        ) from error
    raise ConfigError(
        f"{what} at {named}: a folder, or an id on the Hugging Face hub whose commit is known",
        f"no such folder (beside it: {_beside(Path(model_id))}), and no connection to the hub ({said}), "
        f"nor a commit of {revision or 'main'} in its cache",
        "Give a local folder with the model, or make the hub reachable once; what is in its cache can be named by "
        "its commit with revision.",
    ) from error


def _remember(cached: Path, revision: str, commit: str) -> None:
    """Notes in the hub's cache what a branch stands for, as its client does when it downloads by the branch's name."""
    if revision != commit:
        with suppress(OSError):  # of a cache that may only be read
            ref = cached / "refs" / revision
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(commit, encoding="utf-8")


def _beside(path: Path) -> str:
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return ", ".join(get_close_matches(path.name, beside, cutoff=0.3)) or "nothing like it"
