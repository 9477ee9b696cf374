"""What counts as an answer to a question with letters."""

import math

import numpy as np
import pytest

from dim.judge.contract import Candidate, Case
from dim.judge.question import Asked, letter_of


def asked_of(*names):
    shown = tuple(Candidate(f"Q{place}", name) for place, name in enumerate(names))
    return Asked(Case("m", "King", "", shown), np.arange(len(names)))


@pytest.mark.parametrize(
    ("said", "letter"),
    [("B. B. King", "A"), ("b. b. king.", "A"), ("Martin Luther King Jr.", "B"), ("B. B. King Jr.", "B"), ("B.", "B")],
)
def test_a_whole_name_is_its_candidate_also_where_it_begins_or_ends_as_an_answer_does(said, letter):
    other = "B. B. King Jr." if said == "B. B. King Jr." else "Martin Luther King Jr."
    assert letter_of(said, asked_of("B. B. King", other, "Don King")) == letter


def test_a_name_that_two_candidates_have_is_neither_nor_a_letter():
    assert letter_of("B. King", asked_of("B. King", "B. King")) is None


def test_log_probabilities_are_read_where_the_letter_was_written():
    first = {"The": math.log(0.7), "B": math.log(0.2), "A": math.log(0.1)}
    letters = {" A": math.log(0.9), " B": math.log(0.06), " C": math.log(0.04)}
    tokens = [first, {" answer": 0.0}, {" is": 0.0}, letters, {".": 0.0}]
    found = asked_of("Ada", "Bob").read("The answer is A.", tokens)
    assert np.exp([*found.scores, found.none]) == pytest.approx([0.9, 0.06, 0.04])


MANY = 50_000


@pytest.mark.parametrize("said", ["!" * MANY + " not a letter", "the" + " " * MANY + "end", "A" + "!" * MANY + "x"])
def test_a_long_answer_is_read_in_one_pass(said):
    assert letter_of(said, asked_of("Ada", "Bob")) is None
