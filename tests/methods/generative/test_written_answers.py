import numpy as np
import pytest

from dim.evaluation.protocols import NIL_ROW, Ranked
from dim.methods.generative.answers import Ordering, first_share
from dim.methods.generative.decoding import Written
from dim.training.tie_break import Scorer

IDS = np.array(["d", "c", "b", "a"], dtype=object)


class Given(Scorer):
    """Scores that the test chose; it refuses pairs that nobody had to ask for."""

    name = "given"

    def __init__(self, scores):
        self.given, self.asked = np.array(scores, float), []

    def open(self, data):
        pass

    def scores(self, mentions, entities):
        self.asked += list(zip(mentions.tolist(), entities.tolist(), strict=True))
        return self.given[entities]


def rows(*values):
    return np.array(values, dtype=np.int64)


def test_entities_follow_the_order_of_their_names():
    names = [Written((1,), -0.5), Written((2,), -1.5)]
    answers = Ordering(IDS, Given([0, 0, 0, 0])).of_names(7, names, [rows(2), rows(0)])
    assert answers.rows.tolist() == [2, 0]
    assert answers.scores.tolist() == [-0.5, -1.5]
    assert answers.probability == pytest.approx(1 / (1 + np.exp(-1)))


def test_equal_names_are_ordered_by_the_scorer_then_by_id_and_nobody_else_is_asked_about():
    scorer = Given([1, 5, 1, 1])
    names = [Written((1,), -0.5), Written((2,), -1.5)]
    answers = Ordering(IDS, scorer).of_names(7, names, [rows(0, 1, 3), rows(2)])
    assert answers.rows.tolist() == [1, 3, 0, 2]  # a before d
    assert sorted(scorer.asked) == [(7, 0), (7, 1), (7, 3)]


def test_an_entity_counts_by_its_best_name():
    names = [Written((1,), -0.5), Written((2,), -1.5)]
    answers = Ordering(IDS, Given([0, 1, 2, 3])).of_names(0, names, [rows(0, 1), rows(1, 2)])
    assert answers.rows.tolist() == [1, 0, 2]
    assert answers.scores.tolist() == [-0.5, -0.5, -1.5]


def test_nil_takes_its_place_without_a_scorer():
    scorer = Given([0, 0, 0, 0])
    names = [Written((9,), -0.1), Written((1,), -0.5)]
    answers = Ordering(IDS, scorer).of_names(0, names, [rows(NIL_ROW), rows(3)])
    assert answers.rows.tolist() == [NIL_ROW, 3]
    assert scorer.asked == []


def test_a_text_that_is_nobodys_name_keeps_its_place():
    names = [Written((1,), -1.0), Written((2,), -1.5), Written((3,), -2.0)]
    answers = Ordering(IDS, Given([0] * 4)).of_names(0, names, [rows(), rows(2), rows()])
    assert answers.rows.tolist() == [-1, 2, -1]
    ranked = Ranked.from_lists([answers.rows], [answers.scores], rows(2))
    assert ranked.ranks.tolist() == [2.0]
    assert np.isnan(Ranked.from_lists([answers.rows], [answers.scores], rows(-1)).ranks).all()  # NIL
    assert np.isnan(Ordering(IDS, Given([0] * 4)).of_names(0, [], []).probability)


def test_scored_entities_are_ordered_by_score_and_ties_by_the_scorer():
    scorer = Given([0, 3, 9, 1])
    answers = Ordering(IDS, scorer).of_scores(0, rows(0, 1, 2, 3, NIL_ROW), np.array([-1.0, -2.0, -3.0, -2.0, -2.5]))
    assert answers.rows.tolist() == [0, 1, 3, NIL_ROW, 2]
    assert sorted(scorer.asked) == [(0, 1), (0, 3)]
    assert answers.probability == pytest.approx(first_share(np.array([-1.0, -2.0, -2.5, -3.0])))
