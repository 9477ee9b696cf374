"""What can be known of the demo world's answers: chance by cell, and a solver that reads the true facts."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.demo.population import GRIDS
from dim.demo.vocabulary import LASTING_LOOKS

CELLS = ("name", *GRIDS, "nil")


def chance(cell: str, *, context: bool = False, image: bool = False) -> float:
    """The best Top-1 that a linker can expect in a cell when it sees the mention and the named evidence only.

    It is 1 / (entities that share the mention and agree with that evidence), where no evidence is missing.

    Args:
        cell: `name`, `context`, `image` or `both`.
        context: The linker sees the sentence.
        image: The linker sees the picture.

    Example:
        >>> round(chance("both", context=True), 2)
        0.33
    """
    if cell == "name":
        return 1.0
    rows, columns = GRIDS[cell]
    return 1 / ((1 if context else rows) * (1 if image else columns))


def solve(
    entities: pd.DataFrame, mentions: pd.DataFrame, *, context: bool = True, image: bool = True
) -> NDArray[np.float64]:
    """For each mention the probability that a reader of the true facts names the right answer.

    The reader keeps the entities that share the mention and contradict nothing that the evidence tells, and guesses
    among them; where none is left it answers NIL. The true facts stand in the `attributes` of both tables, which
    no model reads.

    Args:
        entities: The demo's whole KB.
        mentions: Mentions of the demo, of any split.
        context: The reader knows what the sentence tells.
        image: The reader knows what the picture shows.
    """
    namesakes: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for entity_id, name, attributes in zip(entities["id"], entities["name"], entities["attributes"], strict=True):
        known = (entity_id, json.loads(attributes))
        namesakes[name].append(known)
        namesakes[name.split(" ", 1)[1]].append(known)
    golds = mentions["entity_id"].astype(object).where(mentions["entity_id"].notna(), None)
    right = np.zeros(len(mentions))
    for i, (mention, gold, attributes) in enumerate(
        zip(mentions["mention"], golds, mentions["attributes"], strict=True)
    ):
        told = json.loads(attributes)
        facts = told["facts"] if context else {}
        looks = {kind: value for kind, value in told["looks"].items() if kind in LASTING_LOOKS} if image else {}
        left = [
            entity_id
            for entity_id, known in namesakes[mention]
            if facts.items() <= known["facts"].items() and looks.items() <= known["looks"].items()
        ]
        right[i] = (gold in left) / len(left) if left else gold is None
    return right
