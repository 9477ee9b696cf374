"""Whatever way a text comes, the same is asked of its mentions: from Python, over HTTP, in NIF, and in spaCy."""

import unicodedata
from collections.abc import Iterator, Sequence

import pytest
import spacy
from serving import running
from spacy.tokens import Span

from dim.cli import nif
from dim.data.nif import Document, Named, Phrase, read_nif, write_nif
from dim.linker import Answer, Entity, Linker, Question
from dim.serve.spacy_component import DimLinker, Options

pytest.importorskip("pyoxigraph", reason="pip install -e '.[nif]'")

NAMES = ["Käthe Kollwitz", "Qi Baishi", "Ada Lovelace", "Ада Лавлейс", "김구"]
KB = [Entity(f"Q{place}", name, (), f"Number {place}") for place, name in enumerate(NAMES)]
TEXT = unicodedata.normalize(
    "NFD",
    "🙂 Käthe Kollwitz drew. She met Qi \n Baishi, i.e. one of two. Поэт А. С. Ада Лавлейс жил. "
    "김구 sang to Käthe Kollwitz and Käthe Kollwitz\u00a0drew. फ़ was said. Ada  Lovelace",
)
URI = "http://t/1"


@pytest.fixture(scope="module", params=[1, 2, 3])
def linker(request: pytest.FixtureRequest) -> Linker:
    linker = Linker.from_entities(KB)
    linker.about["context_sentences"] = request.param
    return linker


@pytest.fixture
def asked(linker: Linker, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Question]]:
    """What comes to the linker."""
    seen, link = list[Question](), linker._link

    def seeing(questions: Sequence[Question], top_k: int) -> list[list[Answer]]:
        seen.extend(questions)
        return link(questions, top_k)

    monkeypatch.setattr(linker, "_link", seeing)
    yield seen
    seen.clear()


def test_a_text_asks_the_same_whatever_way_it_comes(
    linker: Linker, asked: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken() -> list[Question]:
        found = asked.copy()
        asked.clear()
        return found

    annotations = linker.annotate(TEXT)
    spans = [(each.start, each.end) for each in annotations]
    assert [" ".join(unicodedata.normalize("NFC", each.mention).split()) for each in annotations] == [
        NAMES[place] for place in (0, 1, 3, 4, 0, 0, 2)
    ]
    expected = taken()
    for each in expected:
        assert each.span is not None
        assert " ".join(each.context[slice(*each.span)].split()) == each.mention
    ids = [each.answers[0].id for each in annotations]
    assert ids == [f"Q{NAMES.index(each.mention)}" for each in expected]

    linker.annotate(TEXT, spans)
    linker.annotate_batch([TEXT])
    linker.annotate_batch([{"text": TEXT, "spans": spans}])
    assert taken() == expected * 3

    document = Document(URI, TEXT, tuple(Phrase(*span) for span in spans))
    monkeypatch.setattr(nif, "BATCH", 2)
    [(_, found)] = nif.linked(linker, [document])
    assert [answer.id for _, answer in found if answer is not None] == ids
    assert taken() == expected

    with running(linker, uri_prefix="http://kb/") as server:
        for marks in (None, [{"start": start, "end": end} for start, end in spans]):
            told = server.client.post("/annotate", json={"text": TEXT, "spans": marks}).json()
            assert [(each["start"], each["end"], each["answers"][0]["id"]) for each in told["annotations"]] == [
                (*span, answer) for span, answer in zip(spans, ids, strict=True)
            ]
            assert taken() == expected
        turtle = write_nif([(document, [Named(*span, "http://kb/Q0") for span in spans])])
        answer = server.client.post("/nif", content=turtle, headers={"Content-Type": "text/turtle"})
        [read] = read_nif(answer.content)
        assert [each.uris for each in read.phrases] == [(f"http://kb/{each}",) for each in ids]
        assert taken() == expected

    doc = spacy.blank("xx").make_doc(TEXT)
    marked = [doc.char_span(*span) for span in spans]
    assert doc.text == TEXT
    assert all(isinstance(each, Span) for each in marked)
    doc.spans["names"] = marked
    DimLinker(linker, Options(5, None, None, "names", "sentence", True))(doc)
    assert [each.kb_id_ for each in doc.spans["names"]] == ids
    assert taken() == expected
