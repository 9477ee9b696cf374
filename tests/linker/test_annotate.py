"""Mentions marked in a text are linked as if each were asked with the text around it."""

import json
from pathlib import Path

import numpy as np
import pytest
from demo_run import demo_run, linker_of, questions_of
from hypothesis import given
from hypothesis import strategies as st

from dim.errors import ConfigError, DataError
from dim.linker import Linker, Question
from dim.linker.annotate import (
    MOST_SENTENCES,
    REACH,
    Annotation,
    place_around,
    spans_in,
    usual_sentences,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def linker(run: Path) -> Linker:
    return linker_of(run)


@pytest.fixture(scope="module")
def asked(run: Path) -> list[Question]:
    """Questions whose mention stands once in their sentence."""
    return [question for question in questions_of(run) if question.context.count(question.mention) == 1]


def sentence_around(text: str, start: int, end: int, count: int = 1) -> str:
    return text[slice(*place_around(text, start, end, count))]


def mark(text: str, mention: str) -> tuple[int, int]:
    start = text.index(mention)
    return start, start + len(mention)


def test_marked_mentions_are_answered_as_questions_are(linker: Linker, asked: list[Question]) -> None:
    question = next(question for question in asked if question.image)
    text = question.context
    spans = [mark(text, question.mention), (0, 3), mark(text, question.mention)]
    found = linker.annotate(text, spans, top_k=3)
    expected = linker.link_batch([Question(text[start:end], text) for start, end in spans], 3)
    assert [(each.start, each.end, each.mention) for each in found] == [(s, e, text[s:e]) for s, e in spans]
    assert [each.answers for each in found] == expected
    assert json.loads(json.dumps(found[0].to_dict()))["answers"][0]["id"] == expected[0][0].id


def test_the_image_belongs_to_every_mention(linker: Linker, asked: list[Question]) -> None:
    question = next(question for question in asked if question.image)
    span = mark(question.context, question.mention)
    first, second = linker.annotate(question.context, [span, span], image=question.image)
    expected = linker.link(question.mention, question.context, question.image)
    for each in (first, second):
        assert [answer.id for answer in each.answers] == [answer.id for answer in expected]
        assert [answer.score for answer in each.answers] == pytest.approx([a.score for a in expected], abs=1e-5)
    without = linker.annotate(question.context, [span])[0].answers
    assert [answer.score for answer in without] != pytest.approx([answer.score for answer in expected], abs=1e-4)


def test_the_image_of_a_text_is_encoded_once(
    linker: Linker, asked: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    question = next(question for question in asked if question.image)
    encoder, seen = linker.towers.live.choices.image_encoder, []
    assert encoder is not None
    encode = encoder.encode_image
    monkeypatch.setattr(encoder, "encode_image", lambda pixels: (seen.append(len(pixels)), encode(pixels))[1])
    linker.annotate(question.context, [mark(question.context, question.mention)] * 3, image=question.image)
    assert seen == [1]


def test_of_a_long_text_the_sentence_of_the_mention_is_read(linker: Linker, asked: list[Question]) -> None:
    filler = "Nothing of note was said on that day. " * 40
    text, spans = filler, []
    for question in asked[:20]:
        start, length = len(text) + question.context.index(question.mention), len(question.mention)
        spans.append((start, start + length))
        text += f"{question.context} {filler}"
    found = linker.annotate(text, spans)
    expected = linker.link_batch([Question(question.mention, question.context.strip()) for question in asked[:20]])
    assert [each.answers for each in found] == expected


def test_no_span_is_no_annotation(linker: Linker) -> None:
    assert linker.annotate("Ada sings.", []) == []
    assert linker.annotate("", []) == []


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((0, 11), r"0 <= start < end <= 10, the length of the text\nfound    spans\[1\] = \(0, 11\)\nto do    Count"),
        ((-3, 2), r"spans\[1\] = \(-3, 2\)"),
        ((3, 3), r"spans\[1\] = \(3, 3\)"),
        ((5, 2), r"spans\[1\] = \(5, 2\)"),
        ((0, 2.0), r"pairs of whole numbers, start and end\nfound    spans\[1\] = \(0, 2\.0\)"),
        ((False, True), r"spans\[1\] = \(False, True\)"),
        (("0", "2"), r"spans\[1\] = \('0', '2'\)"),
        ((0, 2, 3), r"spans\[1\] = \(0, 2, 3\)"),
        (7, r"spans\[1\] = 7"),
        (None, r"spans\[1\] = None"),
        ((3, 4), r"a name of 1 to 1,000 characters in each span\nfound    spans\[1\] = \(3, 4\), blank"),
    ],
)
def test_a_span_that_marks_no_name_is_named(linker: Linker, span: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        linker.annotate("Ada sings.", [(0, 3), span])  # type: ignore[list-item]


def test_a_span_whose_image_cannot_be_used_is_named(linker: Linker) -> None:
    with pytest.raises(DataError, match=r"an image that can be read, for spans\[0\]\nfound    gone.png: not found"):
        linker.annotate("Ada sings.", [(0, 3), (4, 9)], image="gone.png")


def test_a_span_that_is_too_long_and_a_text_that_is_none_are_named(linker: Linker) -> None:
    with pytest.raises(DataError, match=r"spans\[0\] = \(0, 1001\), 1,001 characters"):
        linker.annotate("a" * 1001, [(0, 1001)])
    with pytest.raises(DataError, match=r"text as text\nfound    None"):
        linker.annotate(None, [(0, 1)])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"whole characters in the text\nfound    half of one, U\+D800, at place 4"):
        linker.annotate("Ada \ud800", [(0, 3)])
    with pytest.raises(ConfigError, match="top_k of at least 1"):
        linker.annotate("Ada", [(0, 3)], top_k=0)


def test_spans_may_nest_repeat_and_come_from_numpy() -> None:
    spans = np.array([[0, 12], [4, 12], [0, 3], [0, 12]])
    found = spans_in("Ada Lovelace", spans)
    assert found == [(0, 12), (4, 12), (0, 3), (0, 12)]
    assert all(type(place) is int for span in found for place in span)
    assert Annotation(*found[1], "Lovelace", []).to_dict() == {
        "start": 4, "end": 12, "mention": "Lovelace", "answers": []
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "left", "right"),
    [
        ("One. Two met ", " there. Three.", "Two met ", " there."),
        ("One! Then ", "? Three.", "Then ", "?"),
        ("One!  then ", "? Three.", "One!  then ", "?"),
        ('"One." Then ', " (too.) Three.", "Then ", " (too.)"),
        ("Dr. J. R. ", " of St. Ann vs. Mr. Bell, c. ten. Four", "Dr. J. R. ", " of St. Ann vs. Mr. Bell, c. ten."),
        ("A title\n \nOne\n", "\nstands.\n\nTwo", "One\n", "\nstands."),  # lines are no sentences, paragraphs are
        ("一。二", "三」。四", "二", "三」。"),
        ("x" * 300, "y" * 300, "x" * 300, "y" * 300),
        ("x" * 301, "y" * 301, "x" * 300, "y" * 300),  # no place to cut at
        ("w " + "x" * 299, " y" * 200, "x" * 299, " y" * 149),  # whole words
        ("One. " + "x " * 150, " y" * 147 + ". Two", "x " * 149, " y" * 147 + "."),  # the sentence begins beyond reach
        ("Жил. Поэт А. С. ", " родился. Потом", "Поэт А. С. ", " родился."),  # initials in any script
        ("Así. Vio p. ej. a ", ", p. ej. én. É. Zola", "Vio p. ej. a ", ", p. ej. én."),  # and small letters
        ("राम। ", " गया। सीता", "", " गया।"),
        ("هل؟ ", " هنا؟ نعم۔ لا", "", " هنا؟"),
    ],
)  # fmt: skip
def test_the_sentence_is_read_and_a_long_one_cut_between_words(before: str, after: str, left: str, right: str) -> None:
    text = before + "Ada" + after
    assert sentence_around(text, len(before), len(before) + 3) == left + "Ada" + right


def test_no_sentence_ends_before_a_mention_in_small_letters() -> None:
    text = "Two came. He drew many, i.e. van Gogh and so on. Three."
    assert sentence_around(text, 29, 37) == "He drew many, i.e. van Gogh and so on."
    assert sentence_around(text, 28, 37) == "He drew many, i.e. van Gogh and so on."
    assert sentence_around("一。”二”。三", 2, 5) == "”二”。"  # nor within one


@given(st.text(), st.text(min_size=1), st.text(), st.integers(0, 400), st.integers(0, 400))
def test_the_context_is_the_mention_with_what_stands_beside_it(
    before: str, mention: str, after: str, num_before: int, num_after: int
) -> None:
    text = before * num_before + mention + after * num_after
    start = len(before) * num_before
    around = sentence_around(text, start, start + len(mention))
    assert around in text
    assert mention.strip() in around
    assert len(around) <= len(mention) + 2 * REACH


TEXT = "One came. Two sang. Ada left. Four wept. Five slept."


@pytest.mark.parametrize(
    ("count", "around"),
    [
        (1, "Ada left."),
        (2, "Two sang. Ada left."),
        (3, "Two sang. Ada left. Four wept."),
        (4, "One came. Two sang. Ada left. Four wept."),
        (9, TEXT),
    ],
)
def test_as_many_sentences_are_handed_on_as_contexts_had_in_training(count: int, around: str) -> None:
    start = TEXT.index("Ada")
    assert sentence_around(TEXT, start, start + 3, count) == around
    assert usual_sentences([around] * 3) == min(count, 5)
    far = "word " * 200 + TEXT
    left = sentence_around(far, far.index("Ada"), far.index("Ada") + 3, 9)
    assert left.endswith("Four wept. Five slept.")
    assert len(left) <= REACH * 5 + len(TEXT)


def test_a_linker_says_how_many_and_a_stranger_cannot_ask_for_more(linker: Linker) -> None:
    assert linker.context_sentences == 1
    assert usual_sentences([]) == 1
    assert usual_sentences(["Ada sings.", "So Ada sang. She left."]) == 1  # half of them
    before = linker.about
    try:
        for said, meant in ((3, 3), (10**9, MOST_SENTENCES), (-1, 1)):
            linker.about = before | {"context_sentences": said}
            assert linker.context_sentences == meant
        linker.about = before | {"context_sentences": 2}
        name = next(iter(linker)).name
        text = f"It was late. {name} smiled. Then all left."
        start = text.index(name)
        [found] = linker.annotate(text, [(start, start + len(name))])
        asked = linker.link(name, f"It was late. {name} smiled.")
        assert [one.id for one in found.answers] == [one.id for one in asked]
        assert [one.score for one in found.answers] == pytest.approx([one.score for one in asked])
    finally:
        linker.about = before
