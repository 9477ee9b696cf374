"""Temperature, reliability and thresholds against values by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from dim.reranker.calibration import (
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    reliability,
    softmax,
)
from dim.reranker.nil import best_f1, linking_scores, threshold_for


def test_the_temperature_undoes_a_scale():
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(4000, 5))
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    gold = np.array([generator.choice(5, p=row) for row in chances])
    assert fit_temperature(scores * 3, gold) == pytest.approx(3, rel=0.1)


def test_the_calibration_error_by_hand():
    probability, correct = [0.95, 0.95, 0.55, 0.55], [True, True, True, False]
    assert expected_calibration_error(probability, correct, 10) == pytest.approx(0.05)
    assert [entry["n"] for entry in reliability(probability, correct, 10)] == [2, 2]
    assert expected_calibration_error([1.0], [True]) == 0.0
    assert np.isnan(expected_calibration_error([], []))


def test_the_calibration_error_is_torchmetrics_where_no_answer_is_wholly_sure():
    generator = np.random.default_rng(2)
    for n in (1, 7, 500):
        probability = generator.random(n)  # below 1
        correct = generator.random(n) < probability
        theirs = binary_calibration_error(torch.from_numpy(probability), torch.from_numpy(correct).int(), n_bins=15)
        assert expected_calibration_error(probability, correct) == pytest.approx(float(theirs), abs=1e-12)


def test_softmax_of_large_scores_is_finite_and_of_none_is_empty():
    assert softmax([1000.0, 0.0]).tolist() == [1.0, 0.0]
    assert softmax([]).tolist() == []


def test_a_threshold_keeps_its_precision_where_it_was_chosen_or_there_is_none():
    scores, is_nil = np.array([0.9, 0.8, 0.8, 0.4]), np.array([True, True, False, True])
    assert threshold_for(scores, is_nil, 0.9) == 0.9
    assert threshold_for(scores, is_nil, 0.7) == 0.4
    assert threshold_for(scores, ~is_nil, 0.9) is None
    assert threshold_for([], [], 0.5) is None
    assert (threshold_for([3, 2, 1], [True, False, True], 2 / 3), threshold_for([3, 2, 1], [1, 0, 1], 0.67)) == (1, 3)
    assert threshold_for(scores, is_nil, 0.9, weights=[1, 100, 1, 1]) == 0.4


def test_the_best_threshold_for_f1_is_found_among_those_that_say_equal_scores_together():
    generator = np.random.default_rng(1)
    for decimals in (1, 2):
        scores, is_nil = generator.random(50).round(decimals), generator.random(50) < 0.3
        f1 = [linking_scores(scores >= value, is_nil, ~is_nil)["nil_f1"] for value in scores]
        best = best_f1(scores, is_nil)
        assert linking_scores(scores >= best, is_nil, ~is_nil)["nil_f1"] == max(f1)
    assert best_f1([0.9, 0.8, 0.8, 0.8, 0.8], [True, True, False, False, False]) == 0.9


def test_linking_scores_by_hand():
    says, nil, right = [True, True, False, False, False], [True, False, True, False, False], [0, 1, 0, 1, 0]
    found = linking_scores(says, nil, right, ["trivial", None, "confusable", None, None])
    assert found["nil_precision"] == 1 / 2
    assert found["nil_recall"] == 1 / 2
    assert found["in_kb_precision"] == pytest.approx(1 / 3)
    assert found["in_kb_recall"] == pytest.approx(1 / 3)
    assert (found["nil_recall_trivial"], found["nil_recall_confusable"]) == (1, 0)
    # A kind's false alarms are those of mentions in the KB: NIL that is of the other kind is right.
    found = linking_scores([True] * 3, [True, True, False], [False] * 3, ["trivial", "confusable", None])
    assert (found["nil_precision"], found["nil_precision_trivial"]) == (2 / 3, 1 / 2)


def test_the_error_by_chance_is_that_of_answers_which_are_as_sure_as_they_say():
    generator = np.random.default_rng(3)
    said = generator.beta(4, 1, size=800)
    errors = [expected_calibration_error(said, generator.random(len(said)) < said) for _ in range(300)]
    mean, most = calibration_error_by_chance(said)
    assert mean == pytest.approx(np.mean(errors), abs=0.001)
    assert np.mean(np.array(errors) <= most) == pytest.approx(0.95, abs=0.03)
    assert expected_calibration_error(said, generator.random(len(said)) < said**2) > most  # too sure
    assert calibration_error_by_chance(np.repeat(said, 20))[0] < mean / 3
    assert np.isnan(calibration_error_by_chance([])).all()
