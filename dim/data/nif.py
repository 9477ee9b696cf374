"""Texts with their entities in NIF 2.0, the format in which linkers and their datasets meet: Turtle in, Turtle out.

    nif:Context   a text, nif:isString
    nif:Phrase    a mention: nif:referenceContext, nif:beginIndex and nif:endIndex in characters (code points, as Python
                  counts), nif:anchorOf, what stands there, and itsrdf:taIdentRef, the entity that it means

Specification: persistence.uni-leipzig.org/nlp2rdf/specification/core.html. What else stands in a file is not read.
Turtle is read and written by Oxigraph (extra `nif`). rdflib would make a number, a date or a tree of XML of each
literal that calls itself so, which strangers can make as dear as they like; here a literal stays a text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from dim.data.dataset import NIL
from dim.data.entity_uris import EntityUris
from dim.data.given_values import shown
from dim.errors import DataError, MissingExtraError

NIF = "http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#"
ITS = "http://www.w3.org/2005/11/its/rdf#"
TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
SAME_AS = "http://www.w3.org/2002/07/owl#sameAs"
XSD = "http://www.w3.org/2001/XMLSchema#"
#: The types of what is a mention although no entity is named for it; words, sentences and paragraphs have others.
MENTIONS = frozenset({f"{NIF}Phrase", f"{NIF}EntityOccurrence"})
READ = frozenset(
    {TYPE, SAME_AS, f"{ITS}taIdentRef", *(NIF + name for name in ("isString", "referenceContext", "beginIndex"))}
    | {f"{NIF}endIndex", f"{NIF}anchorOf"}
)
MOST_DIGITS = 12  #: Of a place in a text.
#: Triples quoted in one another: Oxigraph (0.5) lets go of each within the one around it, and some ten thousand of them
#: end the process.
MOST_QUOTED = 100
#: Characters a triple of the names in a file, on average: each name repeats its prefix, which may be the whole file.
MOST_EACH = 500
PREFIXES = {"nif": NIF, "itsrdf": ITS, "xsd": XSD}
#: N3's datasets name so what no KB has (github.com/dice-group/n3-collection), and GERBIL takes it so.
NOT_IN_KB = "http://aksw.org/notInWiki/"


@dataclass(frozen=True)
class Phrase:
    """A mention in a text.

    Attributes:
        start: Place of its first character.
        end: The place after its last.
        uris: What names the entity that it means, `owl:sameAs` of the same file included; empty: nothing does.
        anchors: What stands there, as the file has it.
    """

    start: int
    end: int
    uris: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A text with its mentions, in the order of their places.

    Attributes:
        uri: Of its context.
        text: As it is.
        phrases: In it.
    """

    uri: str
    text: str
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class Named:
    """A mention with the entity that was found for it.

    Attributes:
        start: As of `Phrase`.
        end: As of `Phrase`.
        uri: Of the entity.
        confidence: From 0 to 1; None: nobody knows.
    """

    start: int
    end: int
    uri: str
    confidence: float | None = None


_Values = dict[str, dict[str, list[str]]]  #: Subject → predicate → objects.


def read_nif(
    turtle: bytes, where: str = "the text", most_triples: int | None = None, most_mentions: int | None = None
) -> list[Document]:
    """The texts in a file, in its order, with their mentions.

    Args:
        turtle: The file, in UTF-8.
        where: It stands, for messages.
        most_triples: That are read.
        most_mentions: That are taken, and as many texts.

    Raises:
        DataError: It is no Turtle, has too many triples, mentions or texts, has no text, or a mention stands outside of
            its text.
        MissingExtraError: Without pyoxigraph.
    """
    values = _values(turtle, where, most_triples)
    phrases = defaultdict(list)
    for subject, found in values.items():
        for context in found.get(f"{NIF}referenceContext", ()):
            if f"{ITS}taIdentRef" in found or MENTIONS & {*found.get(TYPE, ())}:
                phrases[context].append(subject)
    texts = {subject: given[0] for subject, found in values.items() if (given := found.get(f"{NIF}isString"))}
    if not texts:
        raise DataError(f"a text in {where}: a nif:Context with nif:isString", "none", "Send NIF 2.0, as Turtle.")
    # Before anything is made of them: thousands of mentions may share what names thousands of entities.
    for what, count in (("texts", len(texts)), ("mentions", sum(len(phrases[subject]) for subject in texts))):
        if most_mentions is not None and count > most_mentions:
            raise DataError(f"at most {most_mentions:,} {what} in {where}", f"{count:,}", "Send fewer texts at once.")
    documents = []
    for subject, text in texts.items():
        read = [_phrase(each, values, text) for each in phrases[subject]]
        documents.append(Document(subject, text, tuple(sorted(read, key=lambda each: (each.start, each.end)))))
    return documents


def misplaced(document: Document) -> list[Phrase]:
    """The mentions at whose places another text stands than they say."""
    return [
        each for each in document.phrases if each.anchors and document.text[each.start : each.end] not in each.anchors
    ]


def check_places(document: Document) -> None:
    """Raises DataError where another text stands at a mention's place than it says."""
    for each in misplaced(document):
        found = f"{shown(document.text[each.start : each.end])} at {each.start} to {each.end}"
        remedy = "Count characters (code points), neither bytes nor UTF-16 units; or correct nif:anchorOf."
        raise DataError(f"nif:anchorOf {shown(each.anchors[0])} in {document.uri}", found, remedy)


def write_nif(documents: Iterable[tuple[Document, Iterable[Named]]]) -> bytes:
    """Texts as Turtle, with what was found for their mentions."""
    rdf = oxigraph()
    return bytes(rdf.serialize(_triples(documents, rdf), format=rdf.RdfFormat.TURTLE, prefixes=PREFIXES))


def not_in_kb(name: str) -> str:
    """How an entity is named that the KB lacks.

    Example:
        >>> not_in_kb("Cory Curtis")
        'http://aksw.org/notInWiki/Cory_Curtis'
    """
    return NOT_IN_KB + quote("_".join(name.split()), safe="")


def named_as(text: str, phrase: Phrase, entity_id: str, probability: float | None, uris: EntityUris) -> Named:
    """What was answered to a mention.

    Args:
        text: That it stands in.
        phrase: The mention.
        entity_id: The answer; `NIL` where the KB lacks the entity.
        probability: Of the answer, if it has one.
        uris: How entities are named.
    """
    uri = not_in_kb(text[phrase.start : phrase.end]) if entity_id == NIL else uris.uri_of(entity_id)
    return Named(phrase.start, phrase.end, uri, probability)


def oxigraph() -> Any:
    """The library that reads and writes Turtle.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import pyoxigraph
    except ImportError as error:
        raise MissingExtraError("pyoxigraph", "nif") from error
    return pyoxigraph


def _values(turtle: bytes, where: str, most: int | None) -> _Values:
    rdf = oxigraph()
    if turtle.count(b"<<") > MOST_QUOTED:
        raise DataError(f"at most {MOST_QUOTED} << in {where}", "more", "Leave out quoted triples: NIF has none.")
    values: _Values = defaultdict(lambda: defaultdict(list))
    length = 0
    try:
        for count, quad in enumerate(rdf.parse(turtle, format=rdf.RdfFormat.TURTLE), start=1):
            if most is not None and count > most:
                raise DataError(f"at most {most:,} triples in {where}", "more", "Send fewer texts at once.")
            length += sum(map(_length, (quad.subject, quad.predicate, quad.object)))
            if most is not None and length > MOST_EACH * most:
                expected = f"names of at most {MOST_EACH * most:,} characters together in {where}"
                raise DataError(expected, "more", "Shorten its prefixes or @base.")
            if quad.predicate.value in READ and not isinstance(quad.object, rdf.Triple):
                values[_name(quad.subject)][quad.predicate.value].append(_name(quad.object))
    except (SyntaxError, ValueError) as error:
        raise DataError(f"Turtle in {where}", str(error), "Correct it there; no other format is read.") from error
    return values


def _length(term: Any) -> int:
    """Characters of the names in a term, as they are with their prefixes."""
    if hasattr(term, "predicate"):  # a quoted triple
        return sum(map(_length, (term.subject, term.predicate, term.object)))
    return len(term.datatype.value if hasattr(term, "datatype") else term.value)


def _name(term: Any) -> str:
    return str(term.value)  # of an IRI, a literal or a blank node


def _phrase(subject: str, values: _Values, text: str) -> Phrase:
    found = values[subject]
    start, end = (_place(found.get(NIF + name, ()), f"nif:{name} of {subject}") for name in ("beginIndex", "endIndex"))
    if not 0 <= start < end <= len(text):
        remedy = "Count characters (code points) from 0, the end after the last one."
        raise DataError(f"0 <= beginIndex < endIndex <= {len(text)} of {subject}", f"{start} and {end}", remedy)
    named = found.get(f"{ITS}taIdentRef", ())
    same = [other for uri in named if uri in values for other in values[uri].get(SAME_AS, ())]
    return Phrase(start, end, tuple(dict.fromkeys((*named, *same))), tuple(found.get(f"{NIF}anchorOf", ())))


def _place(given: Sequence[str], what: str) -> int:
    if not given or not given[0].isascii() or not given[0].isdigit() or len(given[0]) > MOST_DIGITS:
        raise DataError(f"a whole number as {what}", shown(given[0]) if given else "none", "Say where it stands.")
    return int(given[0])


def _triples(documents: Iterable[tuple[Document, Iterable[Named]]], rdf: Any) -> Iterator[Any]:
    def about(subject: Any, kinds: Sequence[str], start: int, end: int, text: str, name: str) -> Iterator[Any]:
        for kind in kinds:
            yield rdf.Triple(subject, rdf.NamedNode(TYPE), rdf.NamedNode(NIF + kind))
        for place, number in (("beginIndex", start), ("endIndex", end)):
            value = rdf.Literal(str(number), datatype=rdf.NamedNode(f"{XSD}nonNegativeInteger"))
            yield rdf.Triple(subject, rdf.NamedNode(NIF + place), value)
        yield rdf.Triple(subject, rdf.NamedNode(NIF + name), rdf.Literal(text))

    for document, found in documents:
        context, base = _node(document.uri, rdf), document.uri.partition("#")[0]
        yield from about(
            context, ("String", "RFC5147String", "Context"), 0, len(document.text), document.text, "isString"
        )
        for each in found:
            phrase, text = _node(f"{base}#char={each.start},{each.end}", rdf), document.text[each.start : each.end]
            kinds = "String", "RFC5147String", "Phrase"
            yield from about(phrase, kinds, each.start, each.end, text, "anchorOf")
            yield rdf.Triple(phrase, rdf.NamedNode(f"{NIF}referenceContext"), context)
            yield rdf.Triple(phrase, rdf.NamedNode(f"{ITS}taIdentRef"), _node(each.uri, rdf))
            if each.confidence is not None:
                value = rdf.Literal(repr(each.confidence), datatype=rdf.NamedNode(f"{XSD}double"))
                yield rdf.Triple(phrase, rdf.NamedNode(f"{ITS}taConfidence"), value)


def _node(uri: str, rdf: Any) -> Any:
    """What a text or an entity is called; what is no name, such as that of a blank node, becomes one."""
    try:
        return rdf.NamedNode(uri)
    except ValueError:
        return rdf.NamedNode(f"urn:nif:{quote(uri, safe='=,#')}")
