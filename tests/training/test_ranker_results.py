"""Figures of a ranker, and of what comes after it, on a few mentions by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dim.evaluation.intervals import Bootstrap
from dim.evaluation.significance import paired_randomization
from dim.judge.contract import Verdict
from dim.judge.weights import JudgeWeights
from dim.reranker.ranker import Judged
from dim.training import collective_results
from dim.training.answered import Answered
from dim.training.judging import Asking, _Measure, judge_split
from dim.training.ranker_results import describe, describe_nil, to_ranked

REGIONS = [f"photo.jpg#xywh={left},0,9,9" for left in range(6)]
GOLDS = np.arange(12)[:, None]  # mention i has the candidates i and i + 1, and means i


def said(*, right, probability, nil=None, says_nil=False):
    """Of two candidates, the first of which is the gold."""
    probabilities = np.array([probability, 0.05] if right else [0.05, probability])
    return Judged(np.argsort(-probabilities), probabilities, probabilities, nil, says_nil)


def answered_by(judged, images=None, golds=GOLDS, ranker=None):
    lists = SimpleNamespace(
        starts=np.arange(0, 25, 2), rows=np.stack([GOLDS[:, 0], GOLDS[:, 0] + 1], axis=1).ravel(), gold=np.zeros(12)
    )
    mentions = pd.DataFrame({"id": [f"m{i}" for i in range(12)], "images": images or [[]] * 12})
    task = SimpleNamespace(data=SimpleNamespace(dataset=SimpleNamespace(mentions=mentions)))
    return Answered(task, SimpleNamespace(golds=golds), ranker, "dev", np.arange(12), lists, judged)


def described(answered, vectors):
    ranked = to_ranked(answered.lists, answered.judged, GOLDS)
    frame = pd.DataFrame(
        {
            "mention_id": answered.task.data.dataset.mentions["id"],
            "gold": "e",
            "rank": ranked.ranks,
            "seen_in_train": True,
            "image": [images[0] if images else None for images in answered.task.data.dataset.mentions["images"]],
            "probability": ranked.probability,
        }
    )
    before = to_ranked(answered.lists, vectors, GOLDS)
    return describe(frame, before, SimpleNamespace(temperature=1.0))


def test_the_calibration_error_is_that_of_the_first_answers_nil_among_them():
    judged = [said(right=i % 3 > 0, probability=0.9, nil=0.6, says_nil=i < 4) for i in range(12)]
    answered = answered_by(judged)
    bins = {0.6: [False] * 4, 0.9: [i % 3 > 0 for i in range(4, 12)]}  # of mentions that the KB has NIL is wrong
    expected = sum(len(right) * abs(at - np.mean(right)) for at, right in bins.items()) / 12
    assert described(answered, judged)["calibration"]["error"] == pytest.approx(expected)
    figures = answered.figures(judged, answered.in_kb)
    assert figures["calibration_error"] == pytest.approx(expected)
    assert figures["top1"] == np.mean([False] * 4 + bins[0.9])


def test_nil_is_told_by_the_ranker_and_by_a_plain_score_at_their_own_thresholds(monkeypatch):
    nil = [0.9, 0.7, 0.3, 0.6, *[0.1] * 8]
    vectors = np.array([0.1, 0.2, 0.8, 0.3, *[0.9] * 8])
    monkeypatch.setattr("dim.training.ranker_results.best_vector", lambda lists: vectors)
    judged = [said(right=i != 4, probability=0.9, nil=each) for i, each in enumerate(nil)]
    ranker = SimpleNamespace(nil_threshold=0.5, facts={"plain_threshold": 0.25, "nil_precision": 0.6})
    golds = np.where(GOLDS < 3, -1, GOLDS)
    found = describe_nil(
        answered_by(judged, golds=golds, ranker=ranker), judged, ["trivial", "confusable"] + [None] * 10
    )
    assert (found["n"], found["precision"]) == (3, 0.6)
    # m0, m1 and m3 are said to be NIL; of the nine others seven are linked right: m2 is NIL, m4 is wrong.
    expected = {"nil_precision": 2 / 3, "nil_recall": 2 / 3, "in_kb_precision": 7 / 9, "in_kb_recall": 7 / 9}
    chosen = found["ranker"]["chosen"]
    assert {key: chosen[key] for key in expected} == pytest.approx(expected)
    assert (chosen["nil_recall_trivial"], chosen["nil_recall_other"]) == (1, 0)
    plain = found["plain score"]["chosen"]  # a low score is NIL: m0 and m1
    assert (plain["nil_precision"], plain["nil_recall"], plain["threshold"]) == (1, pytest.approx(2 / 3), -0.25)
    assert (
        found["ranker"]["best F1"]["nil_f1"] == found["plain score"]["best F1"]["nil_f1"] == pytest.approx(6 / 7)
    )  # all three with one false alarm
    ranker.nil_threshold, ranker.facts = None, {}
    found = describe_nil(answered_by(judged, golds=golds, ranker=ranker), judged, [None] * 12)
    assert set(found["ranker"]) == set(found["plain score"]) == {"best F1"}


def test_p_of_a_ranker_and_of_a_judge_flips_the_regions_of_an_image_together():
    images = [[region] for region in REGIONS] + [[]] * 6
    before = [said(right=i >= 6, probability=0.9) for i in range(12)]
    after = [said(right=i != 11, probability=0.9) for i in range(12)]
    together = paired_randomization([1] * 11 + [0], [0] * 6 + [1] * 6, clusters=[0] * 6 + list(range(1, 7)))
    assert together == 1.0  # one image against one mention: as likely as not
    answered = answered_by(before, images)
    assert _Measure(answered).p(after, before) == together
    assert described(answered_by(after, images), before)["p"] == together


def test_p_and_interval_of_texts_take_the_mentions_of_a_text_together():
    before = [said(right=i >= 6, probability=0.9) for i in range(12)]
    after = [said(right=i != 11, probability=0.9) for i in range(12)]
    groups = np.array([0] * 6 + list(range(1, 7)))
    texts = SimpleNamespace(answered=answered_by(before), groups=groups, shares_text=groups == 0)
    found = collective_results.describe(texts, after, before)["beside_alone"]
    gains = np.array([1.0] * 6 + [0.0] * 5 + [-1.0])
    low, high = (float(bound[0]) for bound in Bootstrap(groups).interval(gains[:, None]))
    assert found["all"]["p"] == 1.0  # one text against one mention: as likely as not
    assert found["all"]["gain"] == {"mean": gains.mean(), "low": low, "high": high}
    assert low < -0.1
    assert found["shared"]["n"] == 6
    assert found["shared"]["top1"] == {"alone": 0.0, "together": 1.0, "shuffled": 0.0}


class Oracle:
    """Knows the gold; with the texts of others that of the first mention alone, elsewhere it takes the first."""

    label, fingerprint, reads_images = "oracle", "o", False

    def decide(self, cases, record):
        return [Verdict(np.log([0.01, 0.99] if case.is_second and case.is_known else [0.99, 0.01])) for case in cases]


class Cases:
    def of(self, row, best, image_side):
        case = SimpleNamespace(is_second=int(best[0]) != row, is_known=True)
        case.with_others_texts = lambda seed: SimpleNamespace(is_second=case.is_second, is_known=row == 0)
        return case


def test_a_judge_is_told_by_shares_of_the_mentions_the_least_sure_first_with_its_control():
    judged = [said(right=i >= 6, probability=0.5 + 0.03 * i) for i in range(12)]
    asking = Asking(Oracle(), top_k=2, share=0.25, num_learned=1, seed=0)
    stage = SimpleNamespace(weights=JudgeWeights(ranker=1.0, judge=5.0), threshold=0.6, facts={})
    outcome = judge_split(stage, asking, Cases(), answered_by(judged), curve=1.0, control=True)
    found = outcome.summary
    assert {step["share"]: round(12 * step["top1"]) for step in found["curve"]} == {
        0.0: 6, 0.05: 7, 0.1: 8, 0.2: 9, 0.25: 9, 0.5: 12, 1.0: 12,
    }  # fmt: skip
    assert (found["before"]["top1"], found["after"]["top1"], found["judged"]) == (6 / 12, 9 / 12, 3)
    assert (found["wins"], found["ties"], found["losses"]) == (3, 9, 0)
    assert found["p"] == pytest.approx(1 / 4, abs=0.02)  # three heads or three tails
    assert found["control"]["top1"] == 7 / 12
    assert found["control"]["p"] == pytest.approx(1 / 2, abs=0.02)  # against the judge with the right texts
    assert [said.order[0] for said in outcome.judged] == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
