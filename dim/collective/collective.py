"""Probabilities of candidates alone in, probabilities beside the other mentions of their texts out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from dim.collective.coherence import COHERENCE, Coherence
from dim.collective.passage import Passage
from dim.collective.weights import fit_weights
from dim.core.arrays import Doubles, Rows
from dim.errors import CheckpointError

FACT = "collective"  #: Where a ranker's facts have it.
TOP = 10  #: Candidates of a mention that are looked at together.
MOST = 30  #: Mentions that are looked at together; of a longer text each so many.
LEAST = 1e-9  #: Of a probability, before its logarithm is taken.


@dataclass(frozen=True)
class Alone:
    """A mention as it is answered alone.

    Attributes:
        mention: Its string.
        rows: [c], KB rows of its candidates.
        probabilities: [c].
        gold: The gold's place among them; -1: not there, or not known.
    """

    mention: str
    rows: Rows
    probabilities: Doubles
    gold: int = -1


@dataclass(frozen=True)
class Collective:
    """What coherence weighs.

    Attributes:
        weights: By the names of `COHERENCE`.
        top: Candidates of a mention that are looked at; the others keep what they have.
    """

    weights: Mapping[str, float]
    top: int = TOP

    @classmethod
    def fit(cls, texts: Sequence[Sequence[Alone]], coherence: Coherence, top: int = TOP) -> Self:
        """Learned from the mentions of each text whose golds are known."""
        passages, golds = [], []
        for part in ([text[place] for place in places] for text in texts for places in _parts(text)):
            best = [_best(each, top) for each in part]
            passages.append(_passage(part, best, coherence))
            places = [np.flatnonzero(own == each.gold) for own, each in zip(best, part, strict=True)]
            golds.append(np.array([place[0] if len(place) else -1 for place in places], np.int64))
        found = fit_weights(passages, golds) if passages else np.zeros(len(COHERENCE))
        return cls(dict(zip(COHERENCE, found.tolist(), strict=True)), top)

    def together(self, text: Sequence[Alone], coherence: Coherence) -> list[Doubles]:
        """The probabilities [c] of each mention's candidates beside the others; one that stands alone keeps its own.

        Args:
            text: The mentions of one text, in its order.
            coherence: Of the KB.
        """
        weights = np.array([self.weights[name] for name in COHERENCE])
        found = [each.probabilities for each in text]
        for places in _parts(text):
            part = [text[place] for place in places]
            best = [_best(each, self.top) for each in part]
            likely = _passage(part, best, coherence).together(weights)
            for place, own, values in zip(places, best, likely, strict=True):
                found[place] = found[place].copy()
                found[place][own] = values * found[place][own].sum()
        return found

    def to_fact(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"weights": dict(self.weights), "top": self.top}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Self | None:
        """What a ranker's facts hold; None: nothing.

        Raises:
            CheckpointError: It is damaged, or of another version.
        """
        told = facts.get(FACT)
        if told is None:
            return None
        try:
            weights = {name: float(told["weights"][name]) for name in COHERENCE}
            if set(told["weights"]) != set(COHERENCE) or not np.isfinite(list(weights.values())).all():
                raise ValueError(", ".join(told["weights"]))
            if (top := int(told["top"])) < 2:
                raise ValueError(f"{top} candidates")
            return cls(weights, top)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            remedy = "Run dim collective RUN again, and dim export."
            raise CheckpointError(f"weights of {', '.join(COHERENCE)} in a ranker", str(error), remedy) from error


def _parts(text: Sequence[Alone]) -> Iterator[list[int]]:
    """The places of mentions that have candidates, in parts of at most `MOST`; a part of one is none."""
    usable = [place for place, each in enumerate(text) if len(each.rows)]
    for start in range(0, len(usable), MOST):
        if len(part := usable[start : start + MOST]) > 1:
            yield part


def _best(each: Alone, top: int) -> Rows:
    return np.argsort(-each.probabilities, kind="stable")[:top]


def _passage(part: Sequence[Alone], best: Sequence[Rows], coherence: Coherence) -> Passage:
    own = [np.log(np.maximum(each.probabilities[places], LEAST)) for each, places in zip(part, best, strict=True)]
    rows = np.concatenate([each.rows[places] for each, places in zip(part, best, strict=True)])
    owners = np.repeat(np.arange(len(part)), [len(places) for places in best])
    return Passage(own, coherence.of(rows, [each.mention for each in part], owners))
