from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dim.demo import demo_world
from dim.demo.documents import Question, draw_questions
from dim.demo.vocabulary import FACTS, LASTING_LOOKS, LOOKS, OPENINGS, PREDICATES, SAID
from dim.errors import DataError

NUM_QUESTIONS = 4000


@pytest.fixture(scope="module")
def entities(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return demo_world(tmp_path_factory.mktemp("demo") / "world", num_entities=270, seed=4, num_images=0).entities


@pytest.fixture(scope="module")
def questions(entities: pd.DataFrame) -> list[Question]:
    return draw_questions(entities, NUM_QUESTIONS, np.random.default_rng(0))


@pytest.fixture(scope="module")
def known(entities: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {name: json.loads(text) for name, text in zip(entities["name"], entities["attributes"], strict=True)}


def told_facts(context: str) -> dict[str, str]:
    """The facts of a sentence, found by the words of the vocabulary alone."""
    ways = {
        (kind, value): [said.format(word) for said in SAID[kind] for word in words] + [hint]
        for kind, values in FACTS.items()
        for value, (words, hint) in values.items()
    }
    return {
        kind: value
        for (kind, value), said in ways.items()
        if any(f" {way}{end}" in context for way in said for end in (" and ", ", "))
    }


def shown_looks(looks: str) -> dict[str, str]:
    """The looks of a list, found by the words of the vocabulary alone."""
    kinds = {word: (kind, value) for kind, values in LOOKS.items() for value, words in values.items() for word in words}
    return dict(kinds[word] for word in looks.split(", ")) if looks else {}


def test_the_same_seed_draws_the_same_questions_and_another_seed_others(
    entities: pd.DataFrame, questions: list[Question]
) -> None:
    assert draw_questions(entities, NUM_QUESTIONS, np.random.default_rng(0)) == questions
    assert draw_questions(entities, NUM_QUESTIONS, np.random.default_rng(1)) != questions


def test_sentences_and_lasting_looks_tell_the_truth_about_the_answer(
    questions: list[Question], known: dict[str, dict[str, Any]]
) -> None:
    for question in questions:
        truth = known[question.name]
        assert told_facts(question.context).items() <= truth["facts"].items()
        lasting = {kind: value for kind, value in shown_looks(question.looks).items() if kind in LASTING_LOOKS}
        assert lasting.items() <= truth["looks"].items()
        assert question.mention == (question.name if question.kind == "name" else question.name.split(" ")[1])
        assert question.mention in question.context


def test_what_a_question_tells_leaves_one_answer(questions: list[Question], known: dict[str, dict[str, Any]]) -> None:
    for question in questions[:1000]:
        facts, coat = told_facts(question.context), shown_looks(question.looks).get("coat")
        left = [
            name
            for name, truth in known.items()
            if name.endswith(question.mention)
            and facts.items() <= truth["facts"].items()
            and coat in (None, truth["looks"]["coat"])
        ]
        assert left == [question.name]


def test_each_kind_tells_what_its_cell_tells(questions: list[Question]) -> None:
    neutral = len(OPENINGS) * len(PREDICATES)
    by_kind = {
        kind: [question for question in questions if question.kind == kind]
        for kind in ("name", "context", "image", "both")
    }
    assert sum(map(len, by_kind.values())) == len(questions)
    assert all(len(some) > 400 for some in by_kind.values())
    assert all(question.looks and not told_facts(question.context) for question in by_kind["image"])
    assert all(question.looks and len(told_facts(question.context)) == 3 for question in by_kind["both"])
    assert all(len(told_facts(question.context)) == 3 for question in by_kind["context"])
    assert {bool(question.looks) for question in by_kind["context"]} == {True, False}
    assert len({question.context.replace(question.mention, "") for question in by_kind["image"]}) == neutral


def test_entities_are_asked_for_in_proportion_to_one_plus_the_logarithm_of_their_popularity(
    entities: pd.DataFrame, questions: list[Question]
) -> None:
    counts = Counter(question.name for question in questions)
    weight = 1 + np.log(1 + entities["popularity"].to_numpy())
    expected = NUM_QUESTIONS * weight / weight.sum()
    found = np.array([counts[name] for name in entities["name"]])
    quarters = np.array_split(np.argsort(weight), 4)
    for quarter in quarters:
        assert abs(found[quarter].sum() - expected[quarter].sum()) < 5 * np.sqrt(expected[quarter].sum())
    assert expected[quarters[-1]].sum() - expected[quarters[0]].sum() > 20 * np.sqrt(NUM_QUESTIONS / 4)


def test_passing_looks_differ_from_day_to_day(questions: list[Question], known: dict[str, dict[str, Any]]) -> None:
    same = [
        value == known[question.name]["looks"][kind]
        for question in questions
        for kind, value in shown_looks(question.looks).items()
        if kind not in LASTING_LOOKS
    ]
    assert 0.7 < np.mean(same) < 0.9


def test_no_questions_are_an_empty_list(entities: pd.DataFrame) -> None:
    assert draw_questions(entities, 0, np.random.default_rng(0)) == []


@pytest.mark.parametrize(
    "attributes", ["{}", None, "[]", '{"facts": {"occupation": "pirate"}, "looks": {}}', "no JSON"]
)
def test_entities_of_another_dataset_are_refused(entities: pd.DataFrame, attributes: str | None) -> None:
    others = entities.copy()
    others.loc[3, "attributes"] = attributes
    with pytest.raises(DataError, match=r"a demo world, whose entities have facts[\s\S]*Make one: dim demo-world"):
        draw_questions(others, 10, np.random.default_rng(0))


def test_a_name_without_a_surname_is_refused(entities: pd.DataFrame) -> None:
    others = entities.copy()
    others.loc[3, "name"] = "Cher"
    with pytest.raises(DataError, match="'Cher'"):
        draw_questions(others, 10, np.random.default_rng(0))
