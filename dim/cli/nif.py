"""`dim nif`: a GERBIL-style experiment on a NIF file, offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table

from dim.core.files import atomic_path
from dim.core.output import taken
from dim.core.progress import shown
from dim.core.provenance import say_where
from dim.data.dataset import NIL
from dim.data.entity_uris import EntityUris, ids_of
from dim.data.files import explain_read_errors
from dim.data.nif import Document, Named, Phrase, misplaced, named_as, read_nif, write_nif
from dim.data.uri_file import read_uris
from dim.display.counts import count_of
from dim.display.lines import say_json
from dim.display.terminal import Console
from dim.errors import DataError
from dim.evaluation.gerbil import Linked, Measured, measured
from dim.judge.folder import SAVED
from dim.linker import Answer, Linker
from dim.linker.annotate import marked_questions
from dim.linker.opening import open_linker
from dim.linker.shown import say_calibration

BATCH = 64  #: Mentions between two steps of the bar.
Found = list[tuple[Phrase, Answer | None]]  #: The mentions of a text with their answers.


@dataclass(frozen=True)
class Facts:
    """What was measured on.

    Attributes:
        texts: Of the file.
        mentions: With an entity named.
        entities: Of the KB.
        kb_has: Mentions whose entity the KB has.
        kb_lacks: Mentions whose entity is one of the URIs' KB, but not of this one.
        outside: Mentions whose entity is of no KB.
        misplaced: Mentions at whose places another text stands than they say; the places count, as at GERBIL.
    """

    texts: int
    mentions: int
    entities: int
    kb_has: int
    kb_lacks: int
    outside: int
    misplaced: int


def nif(
    model: str,
    input: Path,  # noqa: A002 - the option is --input
    uri_prefix: str = "",
    uris: Path | None = None,
    absent: Literal["missed", "nil"] = "missed",
    output: Path | None = None,
    as_json: bool = False,
    device: str = "auto",
    trust: str | None = None,
    dataset: Path | None = None,
    image_root: Path | None = None,
    judge: str = SAVED,
) -> None:
    """Links the mentions that a NIF file marks, and measures the answers as GERBIL does.

    That is its experiment D2KB: micro and macro precision, recall and F1 of all mentions, and apart of those in the KB
    and of those outside (NIL, "emerging entities").

    Args:
        model: A folder that `dim export` wrote, the run folder of `dim fit`, or an id on the Hugging Face hub.
        input: Texts and mentions with their entities: NIF 2.0 as Turtle (KORE50, N3, OKE …).
        uri_prefix: What stands before an entity's id in the file's URIs, such as http://www.wikidata.org/entity/; the
            default is that ids are URIs themselves.
        uris: A table with the columns uri and entity_id, of entities that the file names otherwise, such as by DBpedia.
        absent: An entity that prefix or table name and this KB lacks is `missed`, as GERBIL counts it, whose KB is all
            of DBpedia or Wikidata; or `nil`: it is right to answer that the KB has it not.
        output: A new file for the answers, as NIF, which GERBIL reads, too.
        as_json: All figures as JSON in the place of a table.
        device: `auto`, `cpu`, `cuda` …
        trust: Packages, separated by commas, whose classes the linker's folder may name; they are imported.
        dataset: Of a run, where its dataset stands now, if it has moved.
        image_root: Of a linker's folder, where the images of its KB stand that are not in it.
        judge: Who reads the mentions that the ranker is not sure of, where `dim judge` set one up: `saved`, `none`, or
            the URL of the server that has its model.

    Raises:
        DataError: The file cannot be read, or names no entity that the KB has.
        ConfigError: `output` is there already.
    """
    if output is not None and output.exists():
        raise taken(output)
    named = EntityUris(uri_prefix, read_uris(uris) if uris is not None else None)
    with explain_read_errors(input):
        documents = read_nif(input.read_bytes(), str(input))
    documents = [Document(each.uri, each.text, tuple(p for p in each.phrases if p.uris)) for each in documents]
    linker = open_linker(model, device, trust, dataset, image_root, judge)
    tells_kb = bool(uri_prefix or uris)  # else an entity that this KB lacks is of none
    facts = facts_of(documents, linker, named, tells_kb)
    check(facts, documents, input)
    answers = linked(linker, documents)
    is_missed = absent == "missed" and tells_kb
    figures = measured([judged(found, linker, named, is_missed) for _, found in answers])
    if output is not None:
        with atomic_path(output) as place:
            place.write_bytes(write_nif((text, named_in(text, found, named)) for text, found in answers))
    say(figures, facts, as_json, input.name)
    say_calibration(linker)


def facts_of(documents: Sequence[Document], linker: Linker, named: EntityUris, tells_kb: bool) -> Facts:
    """What a file has, for a KB; whether its URIs tell that an entity is of a larger one."""
    golds = [ids_of(each.uris, named) for document in documents for each in document.phrases]
    kb_has = sum(any(gold in linker.knowledge for gold in each) for each in golds)
    of_a_kb = sum(bool(each) for each in golds) if tells_kb else kb_has
    elsewhere = sum(len(misplaced(document)) for document in documents)
    counts = len(documents), len(golds), len(linker), kb_has, of_a_kb - kb_has, len(golds) - of_a_kb
    return Facts(*counts, elsewhere)


def check(facts: Facts, documents: Sequence[Document], file: Path) -> None:
    """Raises DataError where there is nothing to measure."""
    if not facts.mentions:
        raise DataError(f"mentions with itsrdf:taIdentRef in {file}", "none", "Name a dataset with its answers.")
    if not facts.kb_has:
        example = next(each.uris[0] for document in documents for each in document.phrases)
        remedy = "Say by --uri_prefix what stands before an id there, or name a table with --uris."
        raise DataError(f"URIs in {file} that name entities of the KB", f"none, such as {example}", remedy)


def linked(linker: Linker, documents: Sequence[Document]) -> list[tuple[Document, Found]]:
    """Each text with its mentions and their answers."""
    questions = []
    for document in documents:
        try:
            spans = [(each.start, each.end) for each in document.phrases]
            questions += marked_questions(document.text, spans, sentences=linker.context_sentences)
        except DataError as error:
            raise DataError(f"{error.expected}, in {document.uri}", error.found, error.remedy) from error
    answers: list[Answer | None] = []
    with shown("link", len(questions)) as advance:
        for start in range(0, len(questions), BATCH):
            part = linker.link_batch([question for _, _, question in questions[start : start + BATCH]], top_k=1)
            answers += [each[0] if each else None for each in part]
            advance(len(part))
    left = iter(answers)
    return [(document, [(each, next(left)) for each in document.phrases]) for document in documents]


def judged(found: Found, linker: Linker, named: EntityUris, is_missed: bool) -> list[Linked]:
    """The mentions of a text as they are counted.

    Args:
        found: They.
        linker: Has the KB.
        named: Says which URIs mean which ids.
        is_missed: Whether an entity that the KB lacks is one that should have been found.
    """
    counted = []
    for phrase, answer in found:
        golds = [each for each in ids_of(phrase.uris, named) if is_missed or each in linker.knowledge]
        is_entity = answer is not None and answer.id != NIL
        counted.append(Linked(golds, answer.id if answer is not None and is_entity else None, answer is not None))
    return counted


def named_in(text: Document, found: Found, named: EntityUris) -> list[Named]:
    """The answers of a text as NIF has them."""
    answered = ((phrase, answer) for phrase, answer in found if answer is not None)
    return [named_as(text.text, phrase, answer.id, answer.probability, named) for phrase, answer in answered]


def say(figures: dict[str, Measured], facts: Facts, as_json: bool, name: str) -> None:
    """Prints the figures."""
    if as_json:
        told = {"file": name, "protocol": "D2KB", **asdict(facts)}
        say_json(told | {"figures": {each: asdict(found) for each, found in figures.items()}}, indent=2)
        return
    table = Table(
        title=f"{name}: {count_of(facts.texts, 'text')}, {count_of(facts.mentions, 'mention')}; D2KB",
        caption=_caption(facts),
    )
    for column in ("", "mean", "precision", "recall", "F1", "right", "wrong", "missed"):
        table.add_column(column, justify="left" if column in ("", "mean") else "right")
    for each, found in figures.items():
        counts = [f"{count:,}" for count in found.counts]
        table.add_row(each, "micro", *(f"{100 * rate:.1f}" for rate in astuple(found.micro)), *counts)
        table.add_row("", "macro", *(f"{100 * rate:.1f}" for rate in astuple(found.macro)))
    Console().print(table)
    say_where()


def _caption(facts: Facts) -> str:
    known = f"those of {facts.kb_has:,} mentions; it lacks those of {facts.kb_lacks:,};"
    lines = [
        f"The KB has {facts.entities:,} entities: {known}",
        f"{facts.outside:,} are of no KB. EE: emerging entities (NIL). All answers count, however probable.",
    ]
    if facts.misplaced:
        lines.append(f"At {facts.misplaced:,} places another text stands than the file says; the places count.")
    return " ".join(lines)
