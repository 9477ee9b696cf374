"""The third stage as a linker has it: which mentions are judged, and what becomes of the ranker's probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dim.core.arrays import Rows
from dim.errors import ConfigError
from dim.judge.contract import Judge, Verdict
from dim.judge.weights import JudgeWeights, Shown
from dim.reranker.ranker import Judged


@dataclass
class JudgeStage:
    """A judge with the numbers that make its verdicts count.

    Attributes:
        judge: Is asked.
        weights: Learned of mentions that neither ranker nor judge was trained on.
        threshold: Mentions are judged whose best candidate is less probable than this by the ranker.
        top_k: Candidates that it is shown.
        facts: Where it comes from; JSON.
        rests_until: Of a server that could not be asked: by `time.monotonic`, when it is tried again.
        is_muted: Whether it is kept and not asked: of a server that whoever opened the folder did not name.
        learned_with: The fingerprint of the judge that the weights were learned with; None: `judge` is that one. One
            that is muted may be another, as a template does not travel.

    Raises:
        ConfigError: `top_k` is out of the judge's range.
    """

    judge: Judge
    weights: JudgeWeights
    threshold: float
    top_k: int
    facts: dict[str, Any] = field(default_factory=dict)
    is_muted: bool = False
    rests_until: float = 0.0
    learned_with: str | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.top_k <= self.judge.most_candidates:
            expected = f"a judge's top_k between 2 and {self.judge.most_candidates:,}"
            raise ConfigError(expected, str(self.top_k), "Change it, or set the judge up again: dim judge RUN.")

    @property
    def fingerprint(self) -> str:
        """Of the judge whose verdicts the weights are for."""
        return self.learned_with or self.judge.fingerprint

    def asks(self, said: Judged) -> bool:
        """Whether a mention is judged: it is open, and the ranker is not sure."""
        return not self.is_muted and is_open(said) and top_probability(said) < self.threshold


def is_open(said: Judged) -> bool:
    """Whether there is something to be judged: several candidates, and no NIL."""
    return len(said.order) > 1 and not said.says_nil


def top_probability(said: Judged) -> float:
    """The ranker's probability of the best candidate, given that the KB has the entity; 1 where nothing is open."""
    return float(said.probabilities[said.order[0]]) if is_open(said) else 1.0


def least_sure(judged: Sequence[Judged], share: float) -> Rows:
    """The places [m] of the mentions that gain most by being judged, those of the least sure first.

    Args:
        judged: What the ranker says of n mentions.
        share: Of the n mentions, at most: fewer where fewer are open.
    """
    sure = np.array([top_probability(said) for said in judged])
    order = np.argsort(sure, kind="stable")[: int(np.ceil(share * len(sure)))]
    return order[[is_open(judged[place]) for place in order]] if len(order) else order


def shown_of(said: Judged, verdict: Verdict, top_k: int, gold: int = -1) -> Shown:
    """What is combined of a mention whose best `top_k` candidates a judge saw.

    Args:
        said: What the ranker says.
        verdict: The judge's, which did not abstain.
        top_k: Candidates that it saw.
        gold: The gold's place in the mention's list; -1: the list has none.
    """
    places = said.order[:top_k]
    seen = np.flatnonzero(places == gold)
    probabilities = said.probabilities[places]
    rest = float(said.probabilities[said.order[top_k:]].sum())  # as a difference the little that is left were 0
    rest += max(0.0, 1.0 - float(said.probabilities.sum()))
    return Shown(probabilities, rest, verdict, int(seen[0]) if len(seen) else len(places))


def combined(said: Judged, verdict: Verdict, top_k: int, weights: JudgeWeights) -> Judged:
    """What ranker and judge say together; where the judge abstained, what the ranker says.

    The candidates that the judge did not see, and that the gold is no candidate, share what is left as they did before:
    all that they had, unless it could say "none of them". Scores are logarithms of probabilities then.

    Args:
        said: What the ranker says.
        verdict: The judge's.
        top_k: Candidates that it saw.
        weights: Of both.
    """
    if verdict.scores is None:
        return said
    case = shown_of(said, verdict, top_k)
    together = weights.combine(case)
    places, others = said.order[:top_k], said.order[top_k:]
    probabilities = np.zeros(len(said.probabilities))
    probabilities[places] = together[:-1]
    if case.rest > 0:
        probabilities[others] = said.probabilities[others] * (together[-1] / case.rest)
    order = said.order[np.argsort(-probabilities[said.order], kind="stable")]
    scores = np.log(probabilities.clip(np.finfo(np.float64).tiny))
    return replace(said, order=order, scores=scores, probabilities=probabilities)
