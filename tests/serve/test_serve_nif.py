"""`/nif`: texts in NIF go back with an entity for each mention, and what cannot be read has its error."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_run import demo_run, linker_of
from serving import Running, running

from dim.data.nif import read_nif
from dim.linker import Linker
from dim.serve.app import create_app
from dim.serve.served import Edition
from dim.serve.settings import Settings

pytest.importorskip("pyoxigraph", reason="pip install -e '.[nif]'")

TEXT = "🙂 Velton smiled. Nobody knew why Delara left."
HEAD = "@prefix nif: <http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#> .\n"
CONTEXT = f'<http://t/1#char=0,46> a nif:Context ; nif:isString "{TEXT}" .\n'
TURTLE = {"Content-Type": "application/x-turtle; charset=utf-8"}


def phrase(start: int, end: int, anchor: str) -> str:
    return (
        f'<http://t/1#char={start},{end}> a nif:Phrase ; nif:beginIndex "{start}" ; nif:endIndex "{end}" ;'
        f' nif:anchorOf "{anchor}" ; nif:referenceContext <http://t/1#char=0,46> .\n'
    )


TOO_MANY_TEXTS = "text/turtle", 422, "at most 2 texts in the body"
TOLD = HEAD + CONTEXT + phrase(33, 39, "Delara") + phrase(2, 8, "Velton")


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    return linker_of(demo_run(tmp_path_factory))


@pytest.fixture(scope="module")
def server(linker: Linker) -> Iterator[Running]:
    with running(linker, uri_prefix="http://www.wikidata.org/entity/", max_batch=2) as server:
        yield server


def test_each_mention_goes_back_with_its_entity(server: Running, linker: Linker) -> None:
    found = server.client.post("/nif", content=TOLD.encode(), headers=TURTLE)
    assert found.status_code == 200, found.text
    assert found.headers["content-type"].startswith("application/x-turtle")
    (document,) = read_nif(found.content)
    assert document.text == TEXT
    expected = [annotation.answers[0].id for annotation in linker.annotate(TEXT, [(2, 8), (33, 39)])]
    assert [each.uris for each in document.phrases] == [
        (f"http://www.wikidata.org/entity/{each}",) for each in expected
    ]
    assert [each.anchors for each in document.phrases] == [("Velton",), ("Delara",)]


def test_a_text_without_mentions_goes_back_as_it_is(server: Running) -> None:
    (document,) = read_nif(server.client.post("/nif", content=(HEAD + CONTEXT).encode(), headers=TURTLE).content)
    assert (document.text, document.phrases) == (TEXT, ())


@pytest.mark.parametrize(
    ("body", "kind", "status", "expected"),
    [
        (TOLD, "application/json", 415, "Content-Type: text/turtle"),
        ("<a", "text/turtle", 422, "Turtle in the body"),
        ("", "text/turtle", 422, "a text in the body"),
        (HEAD + CONTEXT + phrase(3, 9, "Velton"), "text/turtle", 422, "nif:anchorOf 'Velton' in http://t/1"),
        (TOLD + phrase(9, 15, "smiled"), "text/turtle", 422, "at most 2 mentions in the body"),
        (HEAD + CONTEXT + CONTEXT.replace("t/1", "t/2") + CONTEXT.replace("t/1", "t/3"), *TOO_MANY_TEXTS),
        (TOLD + "<http://a> <http://b> 1 .\n" * 100_000, "text/turtle", 422, "at most 100,000 triples in the body"),
        ("<http://a> <http://b> " + "<<( <http://a> <http://b> " * 20_000, "text/turtle", 422, "at most 100 <<"),
    ],
)
def test_what_cannot_be_linked_has_its_error(server: Running, body: str, kind: str, status: int, expected: str) -> None:
    found = server.client.post("/nif", content=body.encode(), headers={"Content-Type": kind})
    assert (found.status_code, found.json()["error"]["expected"][: len(expected)]) == (status, expected)
    assert server.still_answers()


def test_without_its_package_it_is_said_and_the_rest_is_there(
    server: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyoxigraph", None)
    found = server.client.post("/nif", content=TOLD.encode(), headers=TURTLE)
    assert found.status_code == 501
    assert "pip install 'dim-linker[nif]'" in found.json()["error"]["remedy"]
    assert server.still_answers()


def test_the_document_has_it(linker: Linker) -> None:
    settings = Settings(token="tell-nobody")
    operation = create_app(Edition(linker, settings), settings).openapi()["paths"]["/nif"]["post"]
    assert (
        list(operation["requestBody"]["content"]) == list(operation["responses"]["200"]["content"]) == ["text/turtle"]
    )
    assert operation["security"] == [{"token": []}]
