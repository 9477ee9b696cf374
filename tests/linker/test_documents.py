"""Texts without spans: a finder says where mentions stand; many texts are answered together."""

from pathlib import Path

import pandas as pd
import pytest
from demo_run import demo_run, linker_of, questions_of

from dim.errors import ConfigError, DataError
from dim.linker import Annotation, Document, Entity, Linker, Question
from dim.linker.annotate import marked_questions
from dim.linker.finders import DictionaryFinder

MUSEUM = [
    Entity("m1", "Käthe Kollwitz", ("K. Kollwitz",), "Deutsche Grafikerin und Bildhauerin"),
    Entity("m2", "齐白石", ("Qi Baishi",), "中国画家 who painted shrimps"),
    Entity("m3", "Mahmoud Mokhtar", (), "Egyptian sculptor of Nahdat Misr"),
]
TEXT = "Käthe Kollwitz drew weavers.\n\nQi Baishi (齐白石) painted shrimps; Mahmoud\nMokhtar did not."


@pytest.fixture
def museum() -> Linker:
    return Linker.from_entities(MUSEUM)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def linker(run: Path) -> Linker:
    return linker_of(run)


class Capitals:
    """Finds words that begin with a capital letter."""

    def find(self, text: str) -> list[tuple[int, int]]:
        starts = [place for place, letter in enumerate(text) if letter.isupper()]
        return [(start, start + len(text[start:].split()[0])) for start in starts]


def said(annotations: list[Annotation]) -> list[tuple[str, str]]:
    return [(each.mention, each.answers[0].id) for each in annotations]


def test_without_spans_the_names_of_the_kb_are_found_and_linked(museum: Linker) -> None:
    found = museum.annotate(TEXT)
    assert said(found) == [
        ("Käthe Kollwitz", "m1"), ("Qi Baishi", "m2"), ("齐白石", "m2"), ("Mahmoud\nMokhtar", "m3"),
    ]  # fmt: skip
    assert found == museum.annotate(TEXT, [(each.start, each.end) for each in found])
    assert museum.annotate("Nobody is here.") == []


def test_entities_that_come_and_go_are_found_and_are_not(museum: Linker) -> None:
    assert museum.annotate("Zaphod sings.") == []
    museum.add_entities([{"id": "z", "name": "Zaphod"}])
    assert said(museum.annotate("Zaphod sings.")) == [("Zaphod", "z")]
    museum.remove_entities("z")
    assert museum.annotate("Zaphod sings.") == []


def test_any_object_that_finds_is_a_finder(museum: Linker) -> None:
    assert [each.mention for each in museum.annotate("Qi of Beijing", finder=Capitals())] == ["Qi", "Beijing"]
    finder = DictionaryFinder(museum.knowledge, ignore_case=True)
    assert said(museum.annotate("QI BAISHI", finder=finder)) == [("QI BAISHI", "m2")]
    with pytest.raises(ConfigError, match="spans, or a finder of them"):
        museum.annotate(TEXT, [(0, 5)], finder=finder)


def test_a_mention_that_a_line_or_blanks_divide_is_asked_as_one_name() -> None:
    text = "So said Mahmoud \n Mokhtar,  old."
    ((start, end, question),) = marked_questions(text, [(8, 25)])
    assert (start, end, question.mention, question.context) == (8, 25, "Mahmoud Mokhtar", text)
    assert question.span == (8, 25)
    assert marked_questions(text, [(0, 7)])[0][2].mention == "So said"
    assert marked_questions("a \t\u3000b ", [(0, 6)])[0][2].mention == "a b"


@pytest.mark.parametrize("kind", ["documents", "mappings", "frame"])
def test_many_texts_are_answered_as_each_alone(museum: Linker, kind: str) -> None:
    documents = [Document(TEXT), Document("Nobody."), Document("K. Kollwitz", [(3, 11)])]
    rows = [{"text": each.text, "spans": each.spans} for each in documents]
    given = {"documents": documents, "mappings": [TEXT, *rows[1:]], "frame": pd.DataFrame(rows)}[kind]
    found = museum.annotate_batch(given)
    assert [len(each) for each in found] == [4, 0, 1]
    for own, document in zip(found, documents, strict=True):
        alone = museum.annotate(document.text, document.spans)
        assert [(each.start, each.end, each.mention) for each in own] == [(a.start, a.end, a.mention) for a in alone]
        for one, other in zip(own, alone, strict=True):  # the last digits may depend on the batch
            assert [a.id for a in one.answers] == [a.id for a in other.answers]
            assert [a.score for a in one.answers] == pytest.approx([a.score for a in other.answers], abs=1e-4)
    assert museum.annotate_batch([]) == []


def test_an_image_belongs_to_all_mentions_of_its_text(linker: Linker, run: Path) -> None:
    question = next(each for each in questions_of(run) if each.image and each.mention in each.context)
    start = question.context.index(question.mention)
    span = (start, start + len(question.mention))
    with_image, without = linker.annotate_batch(
        [{"text": question.context, "spans": [span, span], "image": question.image}, Document(question.context, [span])]
    )
    expected = linker.link_batch([Question(question.mention, question.context, question.image, span=span)] * 2)
    for annotation, answers in zip(with_image, expected, strict=True):
        assert [a.score for a in annotation.answers] == pytest.approx([a.score for a in answers], abs=1e-5)
    assert without[0].answers[0].score != pytest.approx(with_image[0].answers[0].score, abs=1e-4)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ("Ada sings.", r"texts in a list, or the rows of a table\nfound    'Ada sings.'\nto do    Put a single text"),
        (["Ada", 7], r"a text, or a mapping of text, spans, image, as document 1\nfound    7"),
        (["Ada", {"txt": "Ada"}], r"as document 1\nfound    the fields txt"),
        (["Ada", {"text": None}], r"as document 1\nfound    the fields text"),
        (["Ada", Document("Ada", [(0, 9)])], r"the length of the text, for document 1\nfound    spans\[0\] = \(0, 9\)"),
        (["Ada", Document("Ada \ud800")], r"whole characters in the text, for document 1"),
    ],
)
def test_a_document_that_is_none_is_named(museum: Linker, documents: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        museum.annotate_batch(documents)  # type: ignore[arg-type]


def test_a_document_whose_image_cannot_be_used_is_named(linker: Linker) -> None:
    with pytest.raises(DataError, match=r"can be read, for spans\[0\] of document 1\nfound    gone.png: not found"):
        linker.annotate_batch([Document("Ada", [(0, 3)]), Document("Ada", [(0, 3), (0, 2)], image="gone.png")])
