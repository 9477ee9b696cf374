"""A linker answers as its run does, however it is asked."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from demo_run import demo_run, linker_of, questions_of
from PIL import Image

from dim.errors import ConfigError, DataError
from dim.features.live import LiveEncoder
from dim.linker import Answer, Linker, Question
from dim.reranker.features import FEATURES
from dim.reranker.network import RankerNetwork
from dim.reranker.ranker import Ranker


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module", params=["vectors", "ranker"])
def linker(run: Path, request: pytest.FixtureRequest) -> Linker:
    """Without a ranker, and with one of random weights."""
    linker = linker_of(run)
    if request.param == "ranker":
        torch.manual_seed(0)
        linker.ranker = Ranker(RankerNetwork(len(FEATURES)), tuple(FEATURES), facts={"num_candidates": 32})
    return linker


@pytest.fixture(scope="module")
def questions(run: Path) -> list[Question]:
    return questions_of(run)


@pytest.fixture(scope="module")
def with_image(questions: list[Question]) -> Question:
    return next(question for question in questions if question.image and question.context)


def assert_same(first: list[Answer], second: list[Answer]) -> None:
    assert [answer.id for answer in first] == [answer.id for answer in second]
    assert [answer.score for answer in first] == pytest.approx([answer.score for answer in second], abs=1e-5)


def test_vectors_rank_as_the_run_does(run: Path, linker: Linker, questions: list[Question]) -> None:
    ranks = pd.read_parquet(run / "ranks.parquet")
    ranks = ranks[ranks["split"] == "dev"]
    assert 0 < sum(question.image is None for question in questions) < len(questions) == len(ranks)
    found = linker.link_batch(questions, top_k=100)
    for answers, ids, scores in zip(found, ranks["top_ids"], ranks["top_scores"], strict=True):
        of_vectors = {answer.id: answer.evidence["vectors"] for answer in answers if "vectors" in answer.evidence}
        best = sorted(of_vectors.values(), reverse=True)[:10]
        np.testing.assert_allclose(best, scores[:10], atol=1e-4)
        np.testing.assert_allclose([of_vectors[name] for name in ids[:10]], scores[:10], atol=1e-4)


def test_answers_come_best_first_with_their_evidence(linker: Linker, questions: list[Question]) -> None:
    for answers in linker.link_batch(questions, top_k=7):
        assert len(answers) == 7
        assert len({answer.id for answer in answers}) == 7
        scores = [answer.score for answer in answers if answer.id != "NIL"]
        assert scores == sorted(scores, reverse=True)
        for answer in answers:
            assert (answer.probability is None) == (linker.ranker is None)
            assert answer.probability is None or 0 <= answer.probability <= 1
            if answer.id in linker.knowledge:
                known = linker.knowledge.entities[linker.knowledge.row(answer.id)]
                assert (answer.name, answer.text) == (known.name, known.text)
                assert {"vectors", "name"} <= set(answer.evidence)
                assert all(np.isfinite(value) for value in answer.evidence.values())


def test_one_by_one_in_any_order_and_batch_the_answers_are_the_same(linker: Linker, questions: list[Question]) -> None:
    whole = linker.link_batch(questions)
    for question, answers in list(zip(questions, whole, strict=True))[:20]:
        assert_same(linker.link(question.mention, question.context, question.image), answers)
    order = np.random.default_rng(0).permutation(len(questions))
    shuffled = [questions[place] for place in order]
    for size in (7, 300):  # 300: more than the linker takes at once
        many = shuffled * (-(-size // len(shuffled))) if size > len(shuffled) else shuffled[:size]
        for place, answers in zip(np.resize(order, len(many)), linker.link_batch(many), strict=True):
            assert_same(answers, whole[place])


def test_an_image_as_path_bytes_or_opened_gives_the_same_answer(linker: Linker, with_image: Question) -> None:
    path = Path(str(with_image.image))
    ask = (with_image.mention, with_image.context)
    by_path = linker.link(*ask, image=str(path))
    assert_same(linker.link(*ask, image=path), by_path)
    assert_same(linker.link(*ask, image=path.read_bytes()), by_path)
    with Image.open(path) as image:
        assert_same(linker.link(*ask, image=image), by_path)
    without = linker.link(*ask)
    assert [answer.score for answer in without] != pytest.approx([answer.score for answer in by_path], abs=1e-4)


def test_an_image_behind_a_link_to_another_folder_is_read(linker: Linker, with_image: Question, tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(str(with_image.image))
    ask = (with_image.mention, with_image.context)
    assert_same(linker.link(*ask, image=tmp_path / "link.png"), linker.link(*ask, image=with_image.image))


@pytest.mark.parametrize("part", ["text", "image", "mention"])
def test_a_question_of_one_part_is_answered(linker: Linker, with_image: Question, part: str) -> None:
    asked = {
        "text": Question(with_image.mention, with_image.context),
        "image": Question("", image=with_image.image),
        "mention": Question(with_image.mention),
    }[part]
    (answers,) = linker.link_batch([asked])
    assert len(answers) == 5
    assert all(np.isfinite(answer.score) for answer in answers)


def test_what_the_captioner_says_of_the_image_counts(run: Path, with_image: Question) -> None:
    linker = linker_of(run)
    said = linker.link("", image=with_image.image)
    linker.towers.live = LiveEncoder(dataclasses.replace(linker.towers.live.choices, captioner=None))
    silent = linker.link("", image=with_image.image)
    assert [answer.score for answer in said] != pytest.approx([answer.score for answer in silent], abs=1e-4)


def test_candidates_are_all_that_compete(linker: Linker, questions: list[Question]) -> None:
    known = [entity.id for entity in linker.knowledge]
    whole = {answer.id: answer for answer in linker.link(questions[0].mention, questions[0].context, top_k=100)}
    chosen = [*list(whole)[:3], next(name for name in known if name not in whole)]
    answers = linker.link(questions[0].mention, questions[0].context, candidates=chosen, top_k=100)
    assert {answer.id for answer in answers} - {"NIL"} == set(chosen)
    for answer in answers:
        if answer.id in whole and answer.id != "NIL":
            assert answer.evidence["vectors"] == pytest.approx(whole[answer.id].evidence["vectors"], abs=1e-5)
    assert [a.id for a in linker.link(questions[0].mention, candidates=[]) if a.id != "NIL"] == []
    with pytest.raises(DataError, match=r"the id of one of 300 entities\nfound    'Q0'"):
        linker.link(questions[0].mention, candidates=[known[0], "Q0"])


def test_more_answers_than_a_ranker_has_candidates_are_told_once(
    linker: Linker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linker, "_told_few", False)  # by other tests
    first = linker.link("Velton", top_k=5)
    assert not caplog.records
    most = linker.link("Velton", top_k=150)
    assert [answer.id for answer in most[:5]] == [answer.id for answer in first]
    if linker.ranker is None:
        assert len(most) == 150
        assert len(linker.link("Velton", top_k=10**6)) == len(linker)
        assert not caplog.records
    else:
        assert 32 <= len(most) <= 64
        assert f"top_k is 150, and a question has {len(most)} candidates" in caplog.text
        linker.link("Velton", top_k=150)
        chosen = [answer.id for answer in first]
        assert len(linker.link("Velton", candidates=chosen, top_k=150)) == 5
        assert len(caplog.records) == 1


def test_top_k_bounds_the_answers(linker: Linker) -> None:
    assert [len(linker.link("Velton", top_k=k)) for k in (1, 3, 20)] == [1, 3, 20]
    with pytest.raises(ConfigError, match="top_k of at least 1"):
        linker.link("Velton", top_k=0)


def test_mappings_are_questions_and_unknown_fields_are_refused(linker: Linker) -> None:
    assert_same(linker.link_batch([{"mention": "Velton"}])[0], linker.link("Velton"))
    assert linker.link_batch([]) == []
    with pytest.raises(DataError, match="the field mantion"):
        linker.link_batch([{"mantion": "Velton"}])


def test_a_run_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a run with its config\.yaml"):
        Linker.from_checkpoint(tmp_path)
