"""How much a judge counts beside the ranker: three numbers, learned of mentions that neither was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Doubles
from dim.judge.contract import Verdict
from dim.reranker.calibration import softmax

LEAST = 1e-6  #: A probability below counts as this one: its logarithm would outweigh all that is known otherwise.
PRIOR = 1.0  #: So many mentions speak for the ranker alone: of a handful of mentions little is learned.


@dataclass(frozen=True)
class Shown:
    """What is combined of one case: the candidates that the judge saw, and all else as one alternative.

    All else is one where the judge could say "none of them"; elsewhere it keeps the probability that it has: of what
    it did not read a judge says nothing.

    Attributes:
        probabilities: [c], the ranker's, of the candidates that the judge saw.
        rest: The ranker's that none of these is the gold: that it is another candidate, or no candidate at all.
        verdict: The judge's; it did not abstain.
        gold: The place of the gold; c: it is among the others, or no candidate at all.
    """

    probabilities: Doubles
    rest: float
    verdict: Verdict
    gold: int = -1

    @property
    def evidence(self) -> NDArray[np.float64]:
        """[c or c + 1, 3]: of each alternative the ranker's logarithm, the judge's, and whether it is the others."""
        scores, none = self.verdict.scores, self.verdict.none
        assert scores is not None
        ranker, judge, others = self.probabilities, scores, np.zeros(len(scores))
        if none is not None:
            ranker, judge, others = (np.append(*each) for each in ((ranker, self.rest), (judge, none), (others, 1.0)))
        return np.stack([np.log(ranker.clip(LEAST)), judge, others], axis=1)


@dataclass(frozen=True)
class JudgeWeights:
    """The softmax over a case's alternatives: `ranker` · log p + `judge` · score, and `others` for all not shown.

    A conditional logit. `ranker` and `judge` together are the temperature of the result, which stays a probability.

    Attributes:
        ranker: Of the logarithm of the ranker's probability.
        judge: Of the judge's score; 0 where it tells nothing, never below.
        others: Added to the alternative that none of the candidates shown is meant, where the judge may say so.
        num: Cases that they were learned of.
    """

    ranker: float = 1.0
    judge: float = 0.0
    others: float = 0.0
    num: int = 0

    @classmethod
    def fit(cls, cases: Sequence[Shown]) -> JudgeWeights:
        """The weights under which the golds are most probable; those of no case leave the ranker as it is.

        Args:
            cases: Of mentions that neither ranker nor judge was trained on; those whose gold is no alternative teach
                nothing.
        """
        cases = [case for case in cases if case.gold < len(case.evidence)]
        if not cases:
            return cls()
        from scipy.optimize import minimize  # a linker that is opened fits nothing

        longest = max(len(case.probabilities) for case in cases) + 1
        evidence = np.zeros((len(cases), longest, 3))
        there = np.zeros((len(cases), longest), dtype=bool)
        for row, case in enumerate(cases):
            values = case.evidence
            evidence[row, : len(values)], there[row, : len(values)] = values, True
        gold = np.array([case.gold for case in cases])
        start, rows = np.array([1.0, 0.0, 0.0]), np.arange(len(cases))

        def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            logits = np.where(there, evidence @ weights, -np.inf)
            top = logits.max(1, keepdims=True)
            shares = np.exp(logits - top)
            total = shares.sum(1, keepdims=True)
            losses = (top + np.log(total))[:, 0] - logits[rows, gold]
            slope = np.einsum("nk,nkf->f", shares / total, evidence) - evidence[rows, gold].sum(0)
            far = weights - start
            return float(losses.sum() + PRIOR * far @ far / 2), slope + PRIOR * far

        bounds = [(0.0, None), (0.0, None), (None, None)]  # a judge that is worse than chance is not believed backwards
        found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
        ranker, judge, others = map(float, found)
        return cls(ranker, judge, others, len(cases))

    def combine(self, case: Shown) -> Doubles:
        """The probability [c + 1] of each candidate that the judge saw, and last of all others together."""
        found = softmax(case.evidence @ np.array([self.ranker, self.judge, self.others]))
        if len(found) > len(case.probabilities):
            return found
        return np.append(found * case.probabilities.sum(), case.rest)
