"""A word as one of some that are known, and the one that was meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from dim.errors import ConfigError

_NEAR = 0.6  #: From which likeness on (difflib's ratio) a word may be meant for a choice.


def check_choice(what: str, value: object, choices: Sequence[str]) -> None:
    """Raises ConfigError, with the choice that a value is near to, where it is none of them."""
    if not isinstance(value, str) or value not in choices:
        closest = nearest(value, choices) if isinstance(value, str) else ""
        is_near = bool(closest) and (_likeness(str(value), closest) >= _NEAR or closest.startswith(str(value).lower()))
        remedy = f"Did you mean {closest}?" if is_near else "Choose one of them."
        raise ConfigError(f"{what} as one of {', '.join(choices)}", repr(value), remedy)


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that looks most like `word`, whatever their case.

    Example:
        >>> nearest("batch_sise", ["seed", "batch_size"]), nearest("HNSW", ["auto", "hnsw"])
        ('batch_size', 'hnsw')
    """
    return max(known, key=lambda candidate: _likeness(word, candidate))


def _likeness(word: str, other: str) -> float:
    return SequenceMatcher(None, word.casefold(), other.casefold()).ratio()
