"""Texts whose mentions are linked: those that a caller marks, or those that a finder finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dim.data.given_values import check_text, plain, shown
from dim.errors import ConfigError, DataError
from dim.features.live import ImageInput
from dim.linker.annotate import Annotation, Marked, Spans, marked_questions
from dim.linker.answer import LONGEST_MENTION, QuestionError
from dim.linker.finders.contract import MentionFinder
from dim.linker.given import as_row, check_top_k, each_of

if TYPE_CHECKING:
    from dim.linker.linker import Linker

READ = ("text", "spans", "image")  #: The fields of a document.


@dataclass(frozen=True)
class Document:
    """A text with its mentions and its image.

    Attributes:
        text: May be of any length.
        spans: Pairs of places, of a mention's first character and after its last; None: a finder says where they are.
        image: Belongs to every mention; of several the first usable ones count.
    """

    text: str
    spans: Spans | None = None
    image: ImageInput | Sequence[ImageInput] | None = None


Given = Document | Mapping[str, Any] | str  #: What a caller may give a document by.
Where = Callable[[int, int | None], str]  #: The words for a document's place and, of one of its spans, the span's.


def annotated(
    linker: Linker, document: Document, top_k: int, finder: MentionFinder | None, collective: bool = False
) -> list[Annotation]:
    """The annotations of one document; see `Linker.annotate`."""
    if document.spans is not None and finder is not None:
        raise ConfigError("spans, or a finder of them", "both", "Take one of them out.")
    return _annotations(linker, [document], top_k, finder, collective, _of_one)[0]


def annotated_batch(
    linker: Linker, documents: Iterable[Given], top_k: int, finder: MentionFinder | None, collective: bool = False
) -> list[list[Annotation]]:
    """The annotations of each document; see `Linker.annotate_batch`."""
    return _annotations(linker, documents_of(documents), top_k, finder, collective, _of_many)


def documents_of(given: Any) -> list[Document]:
    """The documents in a list, a generator, or the rows of a table: each a `Document`, a text, or its fields.

    Raises:
        DataError: It is none of these.
    """
    remedy = "Put a single text into a list, or ask annotate(text)."
    each = enumerate(each_of(given, "texts in a list, or the rows of a table", remedy))
    return [_document(one, f"document {place}") for place, one in each]


def marked(document: Document, finder: MentionFinder, sentences: int) -> list[Marked]:
    """The mentions of a document, with what is asked of each, of contexts of so many sentences.

    Raises:
        DataError: The text is none, or a span marks no name.
    """
    check_text("text", document.text)
    spans = _found(document.text, finder) if document.spans is None else document.spans
    return marked_questions(document.text, spans, document.image, sentences)


def _found(text: str, finder: MentionFinder) -> list[tuple[int, int]]:
    """What a finder finds, but for what no mention is: whoever gave the text alone can take no span out."""
    found = finder.find(text)
    return [(start, end) for start, end in found if end - start <= LONGEST_MENTION and text[start:end].strip()]


def _document(given: Any, where: str) -> Document:
    if isinstance(given, Document):
        return given
    if isinstance(given, str):
        return Document(given)
    row = as_row(given)
    if row is None or plain(row.get("text")) is None:
        found = shown(given) if row is None else f"the fields {', '.join(map(str, row)) or 'none'}"
        raise DataError(f"a text, or a mapping of {', '.join(READ)}, as {where}", found, "Give one of these.")
    return Document(**{name: row[name] for name in READ if name in row and plain(row[name]) is not None})


def _annotations(
    linker: Linker,
    documents: Sequence[Document],
    top_k: int,
    finder: MentionFinder | None,
    collective: bool,
    where: Where,
) -> list[list[Annotation]]:
    top_k = check_top_k(top_k)
    together = linker.together() if collective else None
    count = top_k if together is None else together.count(top_k)
    mentions: list[list[Marked]] = []
    for number, document in enumerate(documents):
        with _explained(where(number, None)):
            mentions.append(marked(document, finder or linker.name_finder, linker.context_sentences))
    try:
        answers = linker.link_batch([question for own in mentions for *_, question in own], count)
    except QuestionError as error:
        places = [(number, span) for number, own in enumerate(mentions) for span in range(len(own))]
        with _explained(where(*places[error.place])):
            raise error.plain from error.plain.__cause__
    found, start = [], 0
    for document, own in zip(documents, mentions, strict=True):
        of_text = answers[start : start + len(own)]
        start += len(own)
        if together is not None:
            of_text = together.answers([question for *_, question in own], of_text, top_k)
        found.append(
            [
                Annotation(start, end, document.text[start:end], each)
                for (start, end, _), each in zip(own, of_text, strict=True)
            ]
        )
    return found


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Raises a DataError that rises inside with the place that it is about."""
    try:
        yield
    except DataError as error:
        if not where:
            raise
        raise DataError(f"{error.expected}, for {where}", error.found, error.remedy) from error.__cause__


def _of_one(document: int, span: int | None) -> str:
    return "" if span is None else f"spans[{span}]"


def _of_many(document: int, span: int | None) -> str:
    return f"document {document}" if span is None else f"spans[{span}] of document {document}"
