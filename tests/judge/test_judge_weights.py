"""What a judge's verdict is worth: weights that are learned, and probabilities that stay probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from dim.judge.contract import Candidate, Case, Verdict
from dim.judge.stage import combined, least_sure
from dim.judge.weights import JudgeWeights, Shown
from dim.reranker.ranker import Judged


def said(probabilities, says_nil=False, nil=None):
    values = np.asarray(probabilities, dtype=np.float64)
    return Judged(np.argsort(-values, kind="stable"), np.log(values), values, nil, says_nil)


def verdict(*shares, none=None):
    return Verdict(np.log(np.array(shares)), None if none is None else float(np.log(none)))


def drawn(num, sure, seed=0):
    """Cases in which the judge is right as often as it says, and the ranker knows nothing."""
    generator = np.random.default_rng(seed)
    cases = []
    for _ in range(num):
        gold = int(generator.integers(3))
        told = gold if generator.random() < sure else int(generator.choice([each for each in range(3) if each != gold]))
        shares = np.full(3, (1 - sure) / 2)
        shares[told] = sure
        cases.append(Shown(np.full(3, 0.3), 0.1, verdict(*shares), gold))
    return cases


def test_a_judge_that_is_right_as_often_as_it_says_counts_as_it_says():
    weights = JudgeWeights.fit(drawn(3000, 0.7))
    assert weights.judge == pytest.approx(1.0, abs=0.1)
    assert weights.num == 3000


def test_a_judge_that_is_worse_than_chance_is_not_believed_backwards():
    wrong = [Shown(case.probabilities, case.rest, case.verdict, (case.gold + 1) % 3) for case in drawn(500, 0.9)]
    assert JudgeWeights.fit(wrong).judge == 0.0


def test_of_no_case_the_ranker_stays_as_it_is():
    weights = JudgeWeights.fit([])
    before = said([0.5, 0.3, 0.2])
    after = combined(before, verdict(0.1, 0.9), 2, weights)
    assert after.probabilities == pytest.approx(before.probabilities)


def test_the_weights_are_those_of_the_loss_written_out():
    cases = drawn(40, 0.8, seed=3)

    def loss(parameters):
        total = 0.5 * float(((parameters - [1, 0, 0]) ** 2).sum())
        for case in cases:
            logits = case.evidence @ parameters
            total -= logits[case.gold] - np.log(np.exp(logits).sum())
        return total

    expected = minimize(loss, [1.0, 0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x
    found = JudgeWeights.fit(cases)
    assert [found.ranker, found.judge, found.others] == pytest.approx(expected, abs=2e-3)


shares = st.lists(st.floats(0.01, 1), min_size=3, max_size=6)


@given(shares, st.floats(0, 3), st.floats(0, 3), st.floats(-2, 2))
def test_what_is_combined_is_a_probability_and_the_others_keep_their_proportions(values, ranker, judge, others):
    before = said(np.array(values) / sum(values))
    after = combined(before, verdict(0.2, 0.8), 2, JudgeWeights(ranker, judge, others))
    assert after.probabilities.sum() == pytest.approx(1)
    assert (after.probabilities[after.order] == sorted(after.probabilities, reverse=True)).all()
    rest = before.order[2:]
    apart = after.probabilities[rest] / before.probabilities[rest]
    assert apart == pytest.approx(np.full(len(rest), apart[0]))


def test_a_judge_that_abstains_changes_nothing():
    before = said([0.6, 0.4])
    assert combined(before, Verdict(None, status="malformed"), 2, JudgeWeights(1, 5)) is before


@given(shares, st.floats(0, 3), st.floats(0, 3))
def test_what_a_judge_did_not_read_is_never_first_unless_it_may_say_none_of_them(values, ranker, judge):
    before = said(np.array(values) / sum(values))
    after = combined(before, verdict(0.001, 0.999), 2, JudgeWeights(ranker, judge, 5.0))
    assert after.probabilities[before.order[2:]] == pytest.approx(before.probabilities[before.order[2:]])
    assert after.probabilities[before.order[:2]].max() >= after.probabilities[before.order[2:]].max() - 1e-12


def test_none_of_them_moves_what_it_takes_to_those_that_were_not_shown():
    before = said([0.5, 0.3, 0.2])
    after = combined(before, verdict(0.05, 0.05, none=0.9), 2, JudgeWeights(1, 1))
    assert after.order[0] == 2
    assert after.probabilities[0] / after.probabilities[1] == pytest.approx(0.5 / 0.3)


def test_that_the_gold_is_no_candidate_keeps_its_probability():
    before = said([0.4, 0.3, 0.1])
    for asked in (verdict(0.1, 0.1, none=0.9), verdict(0.1, 0.1, 0.1, none=0.9), verdict(0.1, 0.1, 0.1)):
        same = combined(before, asked, len(asked.scores), JudgeWeights())
        assert same.probabilities == pytest.approx(before.probabilities)
    after = combined(before, verdict(0.05, 0.05, none=0.9), 2, JudgeWeights(1, 1))
    assert (1 - after.probabilities.sum()) / after.probabilities[2] == pytest.approx(0.2 / 0.1)
    assert after.probabilities[2] > 0.1


def test_what_moves_to_those_that_were_not_shown_is_not_lost_where_they_had_next_to_nothing():
    before = said([0.6, 0.4, 2e-17, 1e-17])
    after = combined(before, verdict(0.05, 0.05, none=0.9), 2, JudgeWeights(0.3, 1))
    assert after.probabilities.sum() == pytest.approx(1)
    assert after.probabilities[2] == pytest.approx(2 * after.probabilities[3])
    assert after.probabilities[2] > 0.01


def test_the_least_sure_are_asked_first_and_never_a_nil_or_a_single_candidate():
    judged = [said([0.9, 0.1]), said([0.5, 0.5]), said([1.0]), said([0.4, 0.6], says_nil=True, nil=0.9), said([])]
    assert least_sure(judged, 1.0).tolist() == [1, 0]
    assert least_sure(judged, 0.2).tolist() == [1]
    assert least_sure([], 1.0).tolist() == []


def test_shuffled_texts_are_those_of_others_and_the_names_stay():
    case = Case("m", "Ada", "", tuple(Candidate(str(i), f"name {i}", f"text {i}") for i in range(7)))
    other = case.with_others_texts(seed=5)
    assert all(here.text != there.text for here, there in zip(case.candidates, other.candidates, strict=True))
    assert [each.name for each in other.candidates] == [each.name for each in case.candidates]
    assert sorted(each.text for each in other.candidates) == sorted(each.text for each in case.candidates)
    assert other == case.with_others_texts(seed=5)
    assert other.key != case.key
