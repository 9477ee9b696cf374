"""A command of dim as it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import join


def command_line(words: Sequence[str], trusted: Sequence[str] = (), dataset: Path | None = None) -> str:
    """A command that is printed, to be typed.

    Args:
        words: The command's name, and what stands after it.
        trusted: The packages that it is told to trust.
        dataset: Where the dataset of its run stands now, where that was said.

    Example:
        >>> command_line(["export", "my run"], ("mine.", "yours."))
        "python -m dim export 'my run' --trust mine,yours"
    """
    moved = [] if dataset is None else ["--dataset", str(dataset)]
    trust = ["--trust", ",".join(name.rstrip(".") for name in trusted)] if trusted else []
    return join(["python", "-m", "dim", *words, *moved, *trust])
