"""`nlp.add_pipe("dim_linker")`: a linker as a component of spaCy, behind anything that finds mentions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from dim.core.choices import check_choice
from dim.errors import ConfigError, DataError, MissingExtraError

# spaCy imports this file whenever it makes a pipeline of any kind; what links (ten seconds) is imported on use.
if TYPE_CHECKING:
    from dim.linker import Answer, Linker, Question

try:
    from spacy.language import Language
    from spacy.pipeline import EntityLinker, Pipe
    from spacy.scorer import Scorer
    from spacy.tokens import Doc, Span
    from spacy.training import Example
    from spacy.util import minibatch
except ImportError as error:
    raise MissingExtraError("spacy", "spacy") from error

NIL = EntityLinker.NIL  #: As `dim.data.dataset.NIL`.

Context = Literal["sentence", "doc"]


@dataclass(frozen=True)
class Options:
    """What `add_pipe` may set; see `make_dim_linker`."""

    top_k: int
    threshold: float | None
    labels: Sequence[str] | None
    spans_key: str | None
    context: Context
    overwrite: bool

    def __post_init__(self) -> None:
        from dim.linker.given import check_labels, check_top_k

        check_top_k(self.top_k)
        check_choice("context", self.context, get_args(Context))
        check_labels(self.labels)
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError("threshold as a probability, 0 to 1", str(self.threshold), "Change it, or leave it out.")


#: Packages of classes that a linker's folder may name; see `trust`.
_trusted: list[str] = []


def trust(*packages: str) -> None:
    """Lets linkers that are opened in this process from now on name classes of these packages, such as `my_package`.

    They are imported, and run what they like. It is no option of the component, because a saved pipeline would then
    say of itself that it is trusted; each process that loads it says so anew.
    """
    _trusted.extend(packages)


@Language.factory(
    "dim_linker",
    assigns=["token.ent_kb_id", "span._.kb_score", "span._.kb_probability", "span._.kb_candidates"],
    default_config={
        "device": "auto",
        "top_k": 5,
        "threshold": None,
        "labels": None,
        "spans_key": None,
        "context": "sentence",
        "overwrite": True,
        "dataset": None,
    },
    default_score_weights={"nel_micro_f": 1.0, "nel_micro_r": None, "nel_micro_p": None},
)
def make_dim_linker(
    nlp: Language,
    name: str,
    model: str,
    device: str,
    top_k: int,
    threshold: float | None,
    labels: list[str] | None,
    spans_key: str | None,
    context: Context,
    overwrite: bool,
    dataset: str | None,
) -> DimLinker:
    """The component, with its linker loaded.

    Args:
        nlp: The pipeline.
        name: Of the component in it.
        model: A folder that `dim export` wrote, the run folder of `dim fit`, or an id on the Hugging Face hub. A saved
            pipeline keeps this name, not the linker.
        device: Where the linker computes.
        top_k: Candidates a mention at most.
        threshold: A best answer that is less probable counts as NIL; only for linkers with probabilities.
        labels: Labels of the spans that are linked; None: all. Others stay as they are.
        spans_key: Links `doc.spans[spans_key]`; None: `doc.ents`.
        context: `sentence`: the mention's, as the pipeline has it; where it finds no sentences, as `Linker.annotate`
            does. `doc`: the whole text, its beginning, or what stands around the mention, is read.
        overwrite: Whether spans that have a `kb_id_` are linked anew.
        dataset: Where the dataset of a run stands now, if it has moved; only where `model` is a run.

    Raises:
        DataError: There is no such linker.
        ConfigError: An option is out of its range.
    """
    from dim.linker.opening import open_linker

    options = Options(top_k, threshold, labels, spans_key, context, overwrite)
    try:
        place = None if dataset is None else Path(dataset)
        return DimLinker(open_linker(model, device, ",".join(_trusted), place), options, name)
    except DataError as error:
        remedy = f"{error.remedy} Of a saved pipeline: spacy.load(…, config={{'components.{name}.model': FOLDER}})."
        raise DataError(error.expected, error.found, remedy) from error


class DimLinker(Pipe):
    """Says of each span which entity it means.

    `span.kb_id_` (and `token.ent_kb_id_` for `doc.ents`) becomes the best answer's id, or `NIL`, as spaCy's own
    entity_linker has it. Of the best answer, also where the threshold makes it NIL, tell `span._.kb_score` and
    `span._.kb_probability` (None without a ranker); `span._.kb_candidates` has all answers as plain values, best first.
    A span without a character but blanks is NIL, without candidates.

    The image of a document, `doc._.image`, belongs to all its spans: a path, the bytes of a file, or an opened image,
    which spaCy cannot write with the document. Set it before the component's turn: `doc = nlp.make_doc(text)`,
    `doc._.image = "photo.jpg"`, `nlp(doc)`.
    """

    def __init__(self, linker: Linker, options: Options, name: str = "dim_linker") -> None:
        self.linker, self.options, self.name = linker, options, name
        for extension in ("kb_score", "kb_probability", "kb_candidates"):
            if not Span.has_extension(extension):
                Span.set_extension(extension, default=None)
        if not Doc.has_extension("image"):
            Doc.set_extension("image", default=None)

    def __call__(self, doc: Doc) -> Doc:
        """The document, its spans linked; errors are as in `pipe`."""
        self._link([doc])
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """The documents in their order, their spans linked; those of a batch are asked together.

        Raises:
            DataError: A document lacks `spans_key`, its image cannot be used, or a mention has more than 1,000
                characters; with spaCy's `set_error_handler` the other documents go on.
            ConfigError: There is a threshold, and the linker has no probabilities.
        """
        for batch in minibatch(stream, batch_size):  # type: ignore[no-untyped-call]
            docs = list(batch)
            try:
                self._link(docs)
            except DataError:
                yield from self._one_by_one(docs)
            else:
                yield from docs

    def score(self, examples: Iterable[Example], **_: Any) -> dict[str, Any]:
        """Precision, recall and F of the links of `doc.ents`, as spaCy's entity_linker counts them."""
        scores: dict[str, Any] = Scorer.score_links(examples, negative_labels=[NIL])
        return scores

    def _one_by_one(self, docs: Sequence[Doc]) -> Iterator[Doc]:
        for doc in docs:
            try:
                self._link([doc])
            except DataError as error:
                self.get_error_handler()(self.name, self, [doc], error)
            else:
                yield doc

    def _link(self, docs: Sequence[Doc]) -> None:
        places = [(place, span) for doc in docs for place, span in enumerate(self._spans(doc)) if self._links(span)]
        spans = [span for _, span in places]
        asked = [self._question(span) for span in spans if span.text.strip()]
        found = iter(self.linker.link_batch(asked, self.options.top_k))
        answered = [next(found) if span.text.strip() else [] for span in spans]
        chosen = [self._choose(answers) for answers in answered]  # before anything is written: it may raise
        for (place, span), answers, kb_id in zip(places, answered, chosen, strict=True):
            self._annotate(place, span, answers, kb_id)

    def _spans(self, doc: Doc) -> list[Span]:
        key = self.options.spans_key
        if key is not None and key not in doc.spans:
            raise DataError(
                f"doc.spans['{key}']",
                f"{sorted(doc.spans) or 'none'} in the text '{doc.text[:60]}'",
                "Add what writes it to the pipeline before this component, or change spans_key.",
            )
        return list(doc.ents if key is None else doc.spans[key])

    def _links(self, span: Span) -> bool:
        labels = self.options.labels
        return (labels is None or span.label_ in labels) and (self.options.overwrite or not span.kb_id_)

    def _question(self, span: Span) -> Question:
        from dim.linker.annotate import place_around, question_in

        text, count = str(span.doc.text), self.linker.context_sentences
        context = 0, len(text)
        if self.options.context == "sentence" and span.doc.has_annotation("SENT_START"):
            own = list(span.sents)  # type: ignore[attr-defined]  # a span may cross them
            every = own if count == 1 else list(span.doc.sents)
            first = every.index(own[0])
            around = every[max(0, first - count // 2) : first + len(own) + (count - 1) // 2]
            context = around[0].start_char, around[-1].end_char
        elif self.options.context == "sentence":
            context = place_around(text, span.start_char, span.end_char, count)
        return question_in(text, span.start_char, span.end_char, context, span.doc._.image)

    def _choose(self, answers: Sequence[Answer]) -> str:
        if not answers:
            return NIL
        best, threshold = answers[0], self.options.threshold
        if threshold is not None and best.probability is None:
            raise ConfigError(
                "a linker with probabilities",
                "one without",
                "Run dim rank on its run and export it again, or leave out threshold.",
            )
        return NIL if threshold is not None and (best.probability or 0) < threshold else best.id

    def _annotate(self, place: int, span: Span, answers: Sequence[Answer], kb_id: str) -> None:
        span._.kb_score = answers[0].score if answers else None
        span._.kb_probability = answers[0].probability if answers else None
        span._.kb_candidates = [answer.to_dict() for answer in answers]  # spaCy writes plain values with the document
        if self.options.spans_key is None:
            for token in span:
                token.ent_kb_id_ = kb_id
        else:
            span.kb_id_ = kb_id
            span.doc.spans[self.options.spans_key][place] = span  # a group gives copies
