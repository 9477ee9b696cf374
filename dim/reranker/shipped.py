"""Rankers that dim ships, fitted on public mentions: for a KB that has no mentions of its own.

They are what `dim rank` fits, a few numbers in `shipped_rankers`; `ranker.json` says of which data, commit and date
they are, and how they did on data that they had not seen. `tests/shipped_rankers.py` makes them again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dim.reranker.ranker import Ranker

FOLDER = Path(__file__).with_name("shipped_rankers")
ORIGIN = "origin"  #: Of its facts: where a shipped ranker comes from.


def shipped(of: Literal["names", "vectors"]) -> Ranker:
    """The ranker for scores of names, or for those of frozen vectors."""
    return Ranker.load(FOLDER / of)


def calibrated_on(ranker: Ranker) -> str:
    """What a ranker's probabilities are calibrated on, where that is other data than its KB's; else empty.

    Example:
        >>> calibrated_on(shipped("names"))
        'fitted on WikiMEL, not on your data'
    """
    origin = ranker.facts.get(ORIGIN)
    return f"fitted on {origin['data']}, not on your data" if isinstance(origin, dict) and "data" in origin else ""
