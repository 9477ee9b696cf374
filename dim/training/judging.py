"""A judge over the ranker's best candidates: its weights, learned on tune, and what it finds on a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.evaluation.intervals import image_clusters
from dim.evaluation.significance import paired_randomization, win_tie_loss
from dim.judge.contract import Case, Judge, Verdict, counted
from dim.judge.stage import JudgeStage, combined, least_sure, shown_of, top_probability
from dim.judge.weights import JudgeWeights
from dim.reranker.finder import Finder
from dim.reranker.ranker import Judged, Ranker
from dim.training.answered import Answered
from dim.training.cases import RunCases
from dim.training.task import LinkingTask

SHARES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  #: Of mentions judged, for the curve.


@dataclass(frozen=True)
class Asking:
    """Who is asked, and how much.

    Attributes:
        judge: The judge.
        top_k: Candidates that it is shown.
        share: Of the mentions that are judged.
        num_learned: Mentions of tune, at most, that the weights are learned on.
        seed: Of the control.
        record: As of `Judge.decide`.
    """

    judge: Judge
    top_k: int
    share: float
    num_learned: int
    seed: int
    record: Path | None = None

    def verdicts(self, cases: RunCases, answered: Answered, places: Rows) -> Verdicts:
        """The judge's verdicts on some mentions of a split, the places [m] of which are given in order of asking."""
        asked = [self._case(cases, answered, place) for place in places.tolist()]
        return Verdicts(places, asked, self.judge.decide(asked, self.record))

    def _case(self, cases: RunCases, answered: Answered, place: int) -> Case:
        lists, order = answered.lists, answered.judged[place].order
        best = lists.rows[lists.starts[place] + order[: self.top_k]]
        image_side = self.judge.image_side if self.judge.reads_images else None
        return cases.of(int(answered.rows[place]), best, image_side)


@dataclass
class Verdicts:
    """Verdicts on the mentions at `places` [m] of a split, with their cases."""

    places: Rows
    cases: list[Case]
    found: list[Verdict]

    def first(self, num: int) -> dict[int, Verdict]:
        """Those of the first `num`, by place."""
        pairs = zip(self.places.tolist()[:num], self.found, strict=False)
        return dict(pairs)


@dataclass
class Outcome:
    """What became of a split.

    Attributes:
        judged: What ranker and judge say together of each mention.
        summary: For metrics.json: the curve, costs, tests, the control.
    """

    judged: list[Judged]
    summary: dict[str, Any] = field(default_factory=dict)


def learn(task: LinkingTask, finder: Finder, ranker: Ranker, cases: RunCases, asking: Asking) -> JudgeStage:
    """The stage of a judge: its weights and threshold, learned on tune, which trained neither ranker nor judge.

    Of a ranker that learned of tune each mention has the probabilities of the network that did not see it.
    """
    answered = Answered.of_tune_in_kb(task, finder, ranker)
    judged = answered.judged
    sure = np.array([top_probability(said) for said in judged])
    threshold = float(np.quantile(sure, asking.share)) if len(sure) else 0.0
    places = least_sure(judged, asking.share)
    # Of more than are wanted some of all degrees of doubt, as they are met later.
    places = places[np.linspace(0, len(places) - 1, min(len(places), asking.num_learned)).round().astype(int)]
    told = asking.verdicts(cases, answered, places)
    shown = [
        shown_of(judged[place], verdict, asking.top_k, int(answered.lists.gold[place]))
        for place, verdict in zip(told.places.tolist(), told.found, strict=True)
        if verdict.scores is not None
    ]
    facts = {"learned_of": "tune", "share": asking.share, "verdicts": counted(told.found), **used(told.found)}
    return JudgeStage(asking.judge, JudgeWeights.fit(shown), threshold, asking.top_k, facts)


def judge_split(
    stage: JudgeStage, asking: Asking, cases: RunCases, answered: Answered, curve: float, control: bool
) -> Outcome:
    """Judges a split: the mentions that the budget allows, for the curve those beyond, and the control.

    Args:
        stage: The judge with its weights.
        asking: How much.
        cases: Of the run.
        answered: The split's mentions.
        curve: The share of mentions that is asked for the curve.
        control: Whether the same are asked again with the texts of others.
    """
    judged = answered.judged
    places = least_sure(judged, max(asking.share, curve))
    num = int(np.ceil(asking.share * len(judged)))
    told = asking.verdicts(cases, answered, places[:num])
    further = asking.verdicts(cases, answered, places[num:])
    everything = Verdicts(places, [*told.cases, *further.cases], [*told.found, *further.found])
    measure = _Measure(answered)

    def after(verdicts: dict[int, Verdict]) -> list[Judged]:
        return [
            combined(said, verdicts[place], asking.top_k, stage.weights) if place in verdicts else said
            for place, said in enumerate(judged)
        ]

    final = after(everything.first(num))
    shares = [share for share in SHARES if share <= curve or share == asking.share]
    steps = sorted({*shares, asking.share})
    summary = {
        "judge": asking.judge.label,
        "fingerprint": asking.judge.fingerprint,
        "top_k": asking.top_k,
        "share": asking.share,
        "judged": len(told.places),
        "threshold": stage.threshold,
        "weights": vars(stage.weights) | {},
        "learned": stage.facts,
        "verdicts": counted(told.found),
        **used(told.found),
        **measure.beside(final),
        "curve": [
            {"share": share, **measure.figures(after(everything.first(int(np.ceil(share * len(judged))))))}
            for share in steps
        ],
        "curve_used": used(further.found),
    }
    if control:
        others = [case.with_others_texts(asking.seed) for case in told.cases]
        said = Verdicts(told.places, others, asking.judge.decide(others, asking.record))
        shuffled = after(said.first(num))
        summary["control"] = {
            "verdicts": counted(said.found),
            **used(said.found),
            **measure.figures(shuffled),
            "p": measure.p(final, shuffled),
        }
    return Outcome(final, summary)


class _Measure:
    """Figures of answers, over the mentions whose entity the KB has."""

    def __init__(self, answered: Answered) -> None:
        self.answered, self.in_kb = answered, answered.in_kb
        mentions = answered.task.data.dataset.mentions.iloc[answered.rows]
        first = [images[0] if len(images) else None for images in mentions["images"]]
        self.clusters = image_clusters(first, "mention " + mentions["id"])[self.in_kb]

    def hits(self, judged: Sequence[Judged]) -> NDArray[np.bool_]:
        """Whether the first answer is right [num_in_kb]."""
        return self.answered.hits(judged)[self.in_kb]

    def figures(self, judged: Sequence[Judged]) -> dict[str, float]:
        """Top-1, and the calibration error of the first answers."""
        return self.answered.figures(judged, self.in_kb)

    def p(self, judged: Sequence[Judged], others: Sequence[Judged]) -> float:
        """Of the paired test of Top-1."""
        return paired_randomization(self.hits(judged), self.hits(others), clusters=self.clusters)

    def beside(self, judged: Sequence[Judged]) -> dict[str, Any]:
        """Before and after, with the paired test."""
        wins, ties, losses = win_tie_loss(self.hits(judged), self.hits(self.answered.judged))
        return {
            "before": self.figures(self.answered.judged),
            "after": self.figures(judged),
            "p": self.p(judged, self.answered.judged),
            "wins": wins,
            "ties": ties,
            "losses": losses,
        }


def used(verdicts: Sequence[Verdict]) -> dict[str, float | int | None]:
    """Requests, tokens and money of some verdicts, as the record has them; money None where no price was given."""
    costs = [verdict.cost for verdict in verdicts if verdict.cost is not None]
    return {
        "requests": sum(verdict.requests for verdict in verdicts),
        "tokens_in": sum(verdict.tokens_in for verdict in verdicts),
        "tokens_out": sum(verdict.tokens_out for verdict in verdicts),
        "cost": sum(costs) if costs else None,
    }
