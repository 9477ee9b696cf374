"""How much of an answer's evidence is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

Value = TypeVar("Value")
HowMuch = Literal["none", "short", "full"]
#: The parts that people read, which the page has plain words for: about a quarter of what a ranker weighs.
SHORT = (
    "vectors",
    "name",
    "likelihood",
    "per_token",
    "exact",
    "rest_in_context",
    "words_share",
    "stems",
    "hint",
    "gender",
    "too_late",
    "popularity",
    "alias",
    "judge",
    "ranker_probability",
)


def told(evidence: Mapping[str, Value], how_much: HowMuch) -> dict[str, Value]:
    """The parts of the evidence that are told; where there are few, `short` has all of them.

    Example:
        >>> told({"vectors": 0.9, "name": 0.5}, "short"), told({"vectors": 0.9}, "none")
        ({'vectors': 0.9, 'name': 0.5}, {})
    """
    if how_much == "none":
        return {}
    if how_much == "full" or len(evidence) <= len(SHORT):
        return dict(evidence)
    return {name: evidence[name] for name in SHORT if name in evidence}
