"""`dim nif`: texts with their entities in NIF are read, linked, measured as GERBIL does, and written."""

import json
import tracemalloc
from pathlib import Path

import pytest
from demo_run import demo_run, linker_of

from dim.__main__ import main
from dim.cli.nif import judged, named_in
from dim.data.entity import Entity
from dim.data.entity_uris import EntityUris
from dim.data.nif import Document, Named, Phrase, check_places, misplaced, not_in_kb, read_nif, write_nif
from dim.data.uri_file import read_uris
from dim.errors import ConfigError, DataError
from dim.linker import Answer, Linker

pytest.importorskip("pyoxigraph", reason="pip install -e '.[nif]'")

HEAD = """@prefix nif: <http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#> .
@prefix itsrdf: <http://www.w3.org/2005/11/its/rdf#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
"""


def context(uri: str, text: str) -> str:
    return f"<{uri}> a nif:Context, nif:RFC5147String ; nif:isString {json.dumps(text, ensure_ascii=False)}@en .\n"


def phrase(uri: str, start: int, end: int, gold: str = "", kind: str = "nif:Phrase", anchor: str = "") -> str:
    named = f" ; itsrdf:taIdentRef <{gold}>" if gold else ""
    said = f" ; nif:anchorOf {json.dumps(anchor, ensure_ascii=False)}" if anchor else ""
    return (
        f'<{uri}#char={start},{end}> a nif:RFC5147String, {kind} ; nif:beginIndex "{start}"^^xsd:int ;'
        f' nif:endIndex "{end}"^^xsd:nonNegativeInteger ; nif:referenceContext <{uri}>{named}{said} .\n'
    )


def test_too_many_mentions_are_refused_before_what_names_their_entities_is_gathered() -> None:
    # What 2,000 mentions share would be gathered 2,000 times: 4,000,000 names of 62,000 triples.
    shared = "<http://kb/Q1> owl:sameAs " + ", ".join(f"<http://o/{n}>" for n in range(2_000)) + " .\n"
    told = HEAD + context("http://t/1", "Ada") + shared
    told += "".join(phrase("http://t/1", 0, 3, "http://kb/Q1").replace("char=0,3", f"{n}") for n in range(2_000))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"at most 64 mentions in the text\n.*2,000"):
        read_nif(told.encode(), most_mentions=64)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "triple", ["<#1> <http://p> 1", "<http://a> o:p 1", "<http://a> <http://p> o:1", '<http://a> <http://p> "1"^^o:x']
)
def test_a_prefix_as_long_as_the_file_is_not_repeated_by_all_its_triples(triple: str) -> None:
    long = "http://a/" + "b" * 100_000
    told = f"@base <{long}> . @prefix o: <{long}> .\n" + "".join(f"{triple} .\n" for _ in range(20))
    with pytest.raises(DataError, match=r"names of at most 500,000 characters together in the text"):
        read_nif(told.encode(), most_triples=1000)
    with pytest.raises(DataError, match="a text in"):
        read_nif(told.encode())


def test_texts_and_mentions_are_read_in_their_order() -> None:
    told = (
        HEAD
        + phrase("http://t/2", 6, 9, "http://kb/Q2")
        + context("http://t/2", "🙂 Ada, Bob")
        + phrase("http://t/2", 2, 5)
    )
    told += phrase("http://t/2", 0, 11, kind="nif:Sentence") + context("http://t/1", "None.")
    told += "<http://kb/Q2> owl:sameAs <http://dbpedia.org/resource/Bob> . <http://x> a owl:Thing ."
    assert read_nif(told.encode()) == [
        Document(
            "http://t/2",
            "🙂 Ada, Bob",
            (Phrase(2, 5), Phrase(6, 9, ("http://kb/Q2", "http://dbpedia.org/resource/Bob"))),
        ),
        Document("http://t/1", "None.", ()),
    ]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("<a> <b> .", "Turtle in the text\nfound    Parser error at line 5"),
        ("", "a nif:Context with nif:isString\nfound    none"),
        (
            context("http://t/1", "Ada") + phrase("http://t/1", 0, 4),
            "0 <= beginIndex < endIndex <= 3 of http://t/1#char=0,4",
        ),
        (context("http://t/1", "Ada") + phrase("http://t/1", 2, 2), "0 <= beginIndex"),
        (
            context("http://t/1", "A") + "<http://p> a nif:Phrase ; nif:referenceContext <http://t/1> .",
            "beginIndex of http://p",
        ),
        ("<http://a> <http://b> " + "<<( <http://a> <http://b> " * 101, "at most 100 << in the text"),
    ],
)
def test_what_cannot_be_read_is_said(told: str, message: str) -> None:
    with pytest.raises(DataError) as raised:
        read_nif((HEAD + told).encode())
    assert message in str(raised.value)


def test_triples_are_counted() -> None:
    told = (HEAD + context("http://t/1", "Ada")).encode()
    assert read_nif(told, most_triples=3)
    with pytest.raises(DataError, match="at most 2 triples"):
        read_nif(told, most_triples=2)


def test_another_text_at_a_place_is_noticed() -> None:
    told = (
        HEAD
        + context("http://t/1", "🙂 Ada")
        + phrase("http://t/1", 3, 5, anchor="Ada")
        + phrase("http://t/1", 2, 5, anchor="Ada")
    )
    (document,) = read_nif(told.encode())
    assert [(each.start, each.end) for each in misplaced(document)] == [(3, 5)]
    with pytest.raises(DataError, match=r"nif:anchorOf 'Ada' in http://t/1\nfound    'da' at 3 to 5"):
        check_places(document)


def test_what_is_written_is_read_again() -> None:
    text = 'Ada "1"\n🙂 Bob\\'
    document = Document("http://t/1#char=0,14", text, (Phrase(0, 3), Phrase(10, 13)))
    found = [Named(0, 3, "http://kb/Q%201", 0.25), Named(10, 13, not_in_kb("Bob <B>"))]
    told = write_nif([(document, found), (Document("no name", "", ()), [])])
    assert b'nif:endIndex "3"^^xsd:nonNegativeInteger' in told
    assert b'itsrdf:taConfidence "0.25"^^xsd:double' in told
    (read, empty) = read_nif(told)
    assert read.text == text
    assert [each.uris for each in read.phrases] == [("http://kb/Q%201",), ("http://aksw.org/notInWiki/Bob_%3CB%3E",)]
    assert (misplaced(read), empty.text) == ([], "")


def test_uris_mean_ids_by_what_stands_before_them_or_by_a_table(tmp_path: Path) -> None:
    (tmp_path / "uris.csv").write_text("uri,entity_id\nhttp://dbpedia.org/resource/Ada_(x),Q1\nhttp://fr/Ada,Q1\n")
    named = EntityUris("http://www.wikidata.org/entity/", read_uris(tmp_path / "uris.csv"))
    assert named.id_of("https://dbpedia.org/resource/Ada_%28x%29") == "Q1"
    assert named.id_of("https://www.wikidata.org/entity/Q2") == "Q2"
    assert named.id_of("http://www.wikidata.org/entity/") is named.id_of("http://other/Q2") is None
    assert named.uri_of("Q1") == "http://dbpedia.org/resource/Ada_(x)"
    assert named.uri_of("Q 2") == "http://www.wikidata.org/entity/Q%202"
    (tmp_path / "two.csv").write_text("uri,entity_id\nhttp://a,Q1\nhttp://a,Q2\n")
    with pytest.raises(DataError, match="one entity for http://a"):
        read_uris(tmp_path / "two.csv")
    (tmp_path / "none.csv").write_text("url,entity_id\nhttp://a,Q1\n")
    with pytest.raises(DataError, match="the columns uri and entity_id"):
        read_uris(tmp_path / "none.csv")
    (tmp_path / "odd.csv").write_text("uri,entity_id\nhttp://a/100%_Love,Q1\n")
    with pytest.raises(DataError, match="a % as %25"):
        read_uris(tmp_path / "odd.csv")
    for prefix in ("wikidata", "http://a/#b#", "http://a/%zz/"):
        with pytest.raises(ConfigError, match="a uri_prefix that begins a URI"):
            EntityUris(prefix)


@pytest.mark.parametrize(
    "entity_id",
    ["wiki:100%_Love", "x:a[1]", "http://[a", "x:a#b#c", "x:\x7f", "http://x/\ue000", "http://x:y/", "猫", "a b"],
)
@pytest.mark.parametrize("prefix", ["", "http://kb/#"])
def test_whatever_an_id_is_its_answer_is_written(entity_id: str, prefix: str) -> None:
    named = EntityUris(prefix)
    told = write_nif([(Document("http://t/1", "Ada", ()), [Named(0, 3, named.uri_of(entity_id))])])
    ((phrase,),) = (document.phrases for document in read_nif(told))
    if entity_id != "http://x:y/" or prefix:  # a port of letters, which its form does not tell
        assert named.id_of(phrase.uris[0]) == entity_id


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    return linker_of(demo_run(tmp_path_factory))


@pytest.fixture(scope="module")
def folder(linker: Linker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    linker.save(tmp_path_factory.mktemp("linker") / "tiny")
    assert linker.home is not None
    return linker.home


def test_a_file_is_linked_measured_and_written(
    folder: Path, linker: Linker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [entity.name for entity in linker.knowledge][:3]
    text = f"{names[0]} met {names[1]}."
    other = f"Nobody knew {names[2]}."
    ids = [linker.annotate(text, [(0, len(names[0]))])[0].answers[0].id]
    start = text.index(names[1])
    told = HEAD + context("http://t/1", text) + context("http://t/2", other)
    told += phrase("http://t/1", 0, len(names[0]), f"http://kb/{ids[0]}")
    told += phrase("http://t/1", start, start + len(names[1]), "http://kb/Q-lacking")
    told += phrase("http://t/2", 12, 12 + len(names[2]), "http://nowhere/x")
    told += phrase("http://t/2", 0, 6)  # for which nobody says what it means
    (tmp_path / "texts.ttl").write_text(told)
    line = ["nif", f"--model={folder}", f"--input={tmp_path / 'texts.ttl'}", "--uri_prefix=http://kb/", "--device=cpu"]
    assert main([*line, f"--output={tmp_path / 'answers.ttl'}", "--as_json=true"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["texts"], found["mentions"], found["kb_has"], found["kb_lacks"], found["outside"]) == (2, 3, 1, 1, 1)
    figures = found["figures"]
    assert figures["all"]["counts"] == [1, 2, 2]
    assert figures["InKB"]["counts"] == [1, 2, 1]
    assert figures["EE"]["counts"] == [0, 0, 1]
    assert figures["GSInKB"]["counts"] == [1, 1, 1]
    assert figures["all"]["macro"]["f1"] == pytest.approx(0.25)  # of a half, and of none
    answers = read_nif((tmp_path / "answers.ttl").read_bytes())
    assert [each.text for each in answers] == [text, other]
    assert answers[0].phrases[0].uris == (f"http://kb/{ids[0]}",)
    assert main([*line, "--absent=nil"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 texts, 3 mentions; D2KB" in said
    assert "those of 1 mentions; it lacks those of 1; 1 are of no KB" in said
    assert main([*line, f"--output={tmp_path / 'answers.ttl'}"]) == 1
    assert "found    one that is there" in capsys.readouterr().err


def test_nil_is_an_entity_that_no_kb_has(linker: Linker) -> None:
    text, nil = Document("http://t/1", "Ada met Bob.", ()), Answer("NIL", "NIL", None, 0.0, 0.75)
    found = [(Phrase(0, 3, ("http://nowhere/x",)), nil), (Phrase(8, 11, ("http://kb/Q1",)), nil), (Phrase(8, 11), None)]
    named = EntityUris("http://kb/")
    assert named_in(text, found, named) == [
        Named(0, 3, "http://aksw.org/notInWiki/Ada", 0.75),
        Named(8, 11, "http://aksw.org/notInWiki/Bob", 0.75),
    ]
    assert [each.is_right for each in judged(found, linker, named, is_missed=True)] == [True, False, False]
    assert [each.is_right for each in judged(found, linker, named, is_missed=False)] == [True, True, False]


def test_uris_that_name_nothing_of_the_kb_are_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = HEAD + context("http://t/1", "Ada") + phrase("http://t/1", 0, 3, "http://dbpedia.org/resource/Ada")
    (tmp_path / "texts.ttl").write_text(told)
    assert main(["nif", f"--model={folder}", f"--input={tmp_path / 'texts.ttl'}"]) == 1
    said = capsys.readouterr().err
    assert "none, such as http://dbpedia.org/resource/Ada\nto do    Say by --uri_prefix" in said


def test_ids_that_are_uris_need_no_prefix(linker: Linker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    linker.add_entities([Entity("http://kb/1", "Zaphod Beeblebrox")])
    linker.save(tmp_path / "linker")
    linker.remove_entities(["http://kb/1"])
    told = HEAD + context("http://t/1", "Zaphod Beeblebrox Ada") + phrase("http://t/1", 0, 17, "http://kb/1")
    told += phrase("http://t/1", 18, 21, "http://aksw.org/notInWiki/Ada")  # of no KB, as nobody says of which it is
    (tmp_path / "texts.ttl").write_text(told)
    line = ["nif", f"--model={tmp_path / 'linker'}", f"--input={tmp_path / 'texts.ttl'}", "--as_json=true"]
    assert main(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kb_has"], found["kb_lacks"], found["outside"]) == (1, 0, 1)
    assert found["figures"]["GSInKB"]["micro"]["f1"] == 1.0
    assert found["figures"]["InKB"]["counts"] == [1, 1, 0]
    assert found["figures"]["EE"]["counts"] == [0, 0, 1]
