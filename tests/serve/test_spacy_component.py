"""spaCy's spans get the answers that the linker gives when it is asked directly."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import torch
import yaml
from confection import ConfigValidationError
from demo_run import demo_run, linker_of, questions_of
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

import dim.serve.spacy_component
from dim.data.dataset import NIL
from dim.errors import ConfigError, DataError
from dim.linker import Answer, Linker
from dim.linker.annotate import marked_questions, place_around
from dim.linker.answer import questions_of as questions_given
from dim.reranker.features import FEATURES
from dim.reranker.network import RankerNetwork
from dim.reranker.ranker import Ranker
from dim.serve.spacy_component import DimLinker, Options


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linker with a ranker of random weights, which says how probable its answers are."""
    linker = linker_of(demo_run(tmp_path_factory))
    torch.manual_seed(0)
    linker.ranker = Ranker(RankerNetwork(len(FEATURES)), tuple(FEATURES), facts={"num_candidates": 32})
    place = tmp_path_factory.mktemp("linkers") / "demo"
    linker.save(place)
    return place


@pytest.fixture(scope="module")
def linker(folder: Path) -> Linker:
    return Linker.from_pretrained(folder, device="cpu")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Six names of people that the mentions of the world bear."""
    asked = questions_of(demo_run(tmp_path_factory))
    return sorted({question.mention for question in asked if question.mention.isascii()})[:6]


@pytest.fixture(scope="module")
def texts(names: list[str]) -> list[str]:
    """Documents of no, one and several mentions."""
    return [
        f"{names[0]} sings. In Rome {names[1]} paints all day.",
        "",
        "Nobody was there.",
        f"{names[2]} met {names[3]} and {names[2]} again.",
        f"{names[4]}",
        *(f"Then {name} mixed oils at dawn. It rained." for name in names),
    ]


def pipeline(folder: Path, names: list[str], *before: str, **config: object) -> Language:
    nlp = spacy.blank("en")
    for pipe in before:
        nlp.add_pipe(pipe)
    rules = [{"label": "PERSON", "pattern": name} for name in names] + [{"label": "GPE", "pattern": "Rome"}]
    nlp.add_pipe("span_ruler", config={"annotate_ents": True, "spans_key": "ruler"}).add_patterns(rules)
    nlp.add_pipe("dim_linker", config={"model": str(folder), "device": "cpu", **config})
    return nlp


@pytest.fixture(scope="module")
def nlp(folder: Path, names: list[str]) -> Language:
    """Without sentences."""
    return pipeline(folder, names)


def assert_says(span: Span, answers: list[Answer]) -> None:
    assert span.kb_id_ == answers[0].id
    assert span._.kb_score == pytest.approx(answers[0].score, abs=1e-4)
    assert span._.kb_probability == pytest.approx(answers[0].probability, abs=1e-4)
    assert [found["id"] for found in span._.kb_candidates] == [answer.id for answer in answers]
    assert span._.kb_candidates[0].keys() == answers[0].to_dict().keys()


def test_every_entity_gets_the_linkers_answer(nlp: Language, linker: Linker, texts: list[str]) -> None:
    docs = [nlp(text) for text in texts]
    assert [len(doc.ents) for doc in docs] == [3, 0, 0, 3, 1, *[1] * 6]
    for doc in docs:
        questions = [
            {
                "mention": span.text,
                "context": doc.text[slice(*place_around(doc.text, span.start_char, span.end_char, 1))],
            }
            for span in doc.ents
        ]
        for span, answers in zip(doc.ents, linker.link_batch(questions), strict=True):
            assert_says(span, answers)
            assert {token.ent_kb_id_ for token in span} == {answers[0].id}
    assert len({span.kb_id_ for doc in docs for span in doc.ents}) > 3


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_stream_keeps_its_order_in_any_batch(nlp: Language, texts: list[str], batch_size: int) -> None:
    piped = list(nlp.pipe([(text, place) for place, text in enumerate(texts)], as_tuples=True, batch_size=batch_size))
    assert [place for _, place in piped] == list(range(len(texts)))
    for (doc, _), text in zip(piped, texts, strict=True):
        alone = nlp(text)
        assert doc.text == text
        assert [(span.text, span.kb_id_) for span in doc.ents] == [(span.text, span.kb_id_) for span in alone.ents]
        assert [s._.kb_score for s in doc.ents] == pytest.approx([s._.kb_score for s in alone.ents], abs=1e-4)


def test_a_batch_is_asked_together(folder: Path, names: list[str], texts: list[str]) -> None:
    nlp = pipeline(folder, names)
    component, sizes = nlp.get_pipe("dim_linker"), []
    ask = component.linker.link_batch
    component.linker.link_batch = lambda questions, top_k: sizes.append(len(questions)) or ask(questions, top_k)
    list(nlp.pipe(texts, batch_size=6))
    assert sizes == [8, 5]


def test_where_the_pipeline_finds_sentences_they_are_the_context(
    folder: Path, names: list[str], texts: list[str], linker: Linker
) -> None:
    text = texts[0]
    doc = pipeline(folder, names, "sentencizer")(text)
    for span, context in zip(
        doc.ents, [f"{names[0]} sings.", *[f"In Rome {names[1]} paints all day."] * 2], strict=True
    ):
        assert_says(span, linker.link(span.text, context))
    whole = pipeline(folder, names, "sentencizer", context="doc")(text)
    for span in whole.ents:
        assert_says(span, linker.link(span.text, text))
    assert [span._.kb_score for span in doc.ents] != [span._.kb_score for span in whole.ents]


@pytest.mark.parametrize(("context", "before"), [("doc", ()), ("sentence", ()), ("sentence", ("sentencizer",))])
def test_of_a_name_that_stands_there_twice_each_place_is_asked(
    folder: Path, names: list[str], linker: Linker, context: str, before: tuple[str, ...]
) -> None:
    text = f"It rained. {names[0]} and {names[1]} met {names[0]} there."
    nlp = pipeline(folder, names, *before, context=context)
    asked, component = [], nlp.get_pipe("dim_linker")
    ask = component.linker.link_batch
    component.linker.link_batch = lambda questions, top_k: asked.extend(questions_given(questions)) or ask(asked, top_k)
    doc = nlp(text)
    assert [each.context[slice(*each.span)] for each in asked] == [names[0], names[1], names[0]]
    assert asked[0].span[0] < asked[1].span[0] < asked[2].span[0]
    if context == "sentence":
        spans = [(span.start_char, span.end_char) for span in doc.ents]
        assert asked == [question for *_, question in marked_questions(text, spans)]


@pytest.mark.parametrize(("count", "context"), [(1, "{}"), (2, "It rained. {}"), (3, "It rained. {} All left.")])
def test_as_many_sentences_of_the_pipeline_are_read_as_the_linker_was_trained_on(
    folder: Path, names: list[str], count: int, context: str
) -> None:
    nlp = pipeline(folder, names, "sentencizer")
    component = nlp.get_pipe("dim_linker")
    component.linker.about |= {"context_sentences": count}
    for before, after in (("One came. It rained. ", " All left. Two wept."), ("", "")):
        doc = nlp(f"{before}{names[0]} sings.{after}")
        expected = context.format(f"{names[0]} sings.") if before else doc.text
        assert component._question(doc.ents[0]).context == expected


def test_a_name_that_a_line_ends_in_is_asked_with_a_blank(folder: Path, names: list[str], linker: Linker) -> None:
    name = names[0].replace(" ", "\n") if " " in names[0] else f"{names[0]}\n{names[1]}"
    doc = pipeline(folder, [name])(f"Then {name} sings.")
    [found] = linker.annotate(doc.text, [(5, 5 + len(name))])
    assert_says(doc.ents[0], found.answers)


def test_a_mention_across_sentences_reads_both(folder: Path, names: list[str], linker: Linker) -> None:
    nlp = pipeline(folder, [f"{names[0]}. {names[1]}"], "sentencizer")
    (span,) = nlp(f"One. Two {names[0]}. {names[1]} too. Three.").ents
    assert_says(span, linker.link(span.text, f"Two {names[0]}. {names[1]} too."))


def test_only_the_labels_asked_for_are_linked(folder: Path, names: list[str], texts: list[str]) -> None:
    doc = pipeline(folder, names, labels=["GPE"])(texts[0])
    by_label = {span.label_: span for span in doc.ents}
    assert by_label["GPE"].kb_id_
    assert (by_label["PERSON"].kb_id_, by_label["PERSON"]._.kb_candidates) == ("", None)


def test_span_groups_are_linked_and_may_overlap(folder: Path, names: list[str], linker: Linker) -> None:
    first, second = names[2], names[4]
    nlp = pipeline(folder, [first, second, f"{first} {second}"], spans_key="ruler")
    doc = nlp(f"{first} {second} sings.")
    assert [span.text for span in doc.spans["ruler"]] == [first, f"{first} {second}", second]
    for span in doc.spans["ruler"]:
        assert_says(span, linker.link(span.text, doc.text))
    assert {span.kb_id_ for span in doc.ents} == {""}


def test_a_document_without_the_span_group_is_an_error_that_others_survive(folder: Path, names: list[str]) -> None:
    nlp = pipeline(folder, names, spans_key="ruler")
    docs = [nlp.make_doc(f"{name} sings.") for name in names]
    for doc in docs:
        doc.spans["ruler"] = [Span(doc, 0, 1, "PERSON")]
    del docs[1].spans["ruler"]
    component = nlp.get_pipe("dim_linker")
    with pytest.raises(DataError, match=r"doc\.spans\['ruler'\]\nfound    none in the text"):
        list(component.pipe(docs))
    with pytest.raises(DataError, match=r"doc\.spans\['ruler'\]"):
        component(docs[1])
    failed = []
    component.set_error_handler(lambda name, pipe, bad, error: failed.append((name, bad, type(error))))
    assert list(component.pipe(docs)) == [docs[0], *docs[2:]]
    assert failed == [("dim_linker", [docs[1]], DataError)]
    assert all(doc.spans["ruler"][0].kb_id_ for doc in (docs[0], *docs[2:]))


def test_what_is_linked_already_may_stay(folder: Path, names: list[str], texts: list[str]) -> None:
    nlp = pipeline(folder, names, overwrite=False)
    doc = nlp.get_pipe("span_ruler")(nlp.make_doc(texts[0]))
    first = doc.ents[0]
    doc.ents = [Span(doc, first.start, first.end, first.label, kb_id="Q0"), *doc.ents[1:]]
    nlp.get_pipe("dim_linker")(doc)
    assert doc.ents[0].kb_id_ == "Q0"
    assert doc.ents[0]._.kb_candidates is None
    assert doc.ents[1].kb_id_ not in ("", "Q0")


def test_what_is_improbable_is_nil(folder: Path, names: list[str], texts: list[str], linker: Linker) -> None:
    found = [answers[0] for answers in linker.link_batch([{"mention": n, "context": f"Then {n}."} for n in names])]
    threshold = sorted(answer.probability for answer in found)[2]
    nlp = pipeline(folder, names, threshold=threshold, top_k=2)
    for answer, doc in zip(found, nlp.pipe([f"Then {name}." for name in names]), strict=True):
        (span,) = doc.ents
        assert span._.kb_probability == pytest.approx(answer.probability, abs=1e-5)
        assert len(span._.kb_candidates) == 2
        if abs(answer.probability - threshold) > 1e-5:
            assert span.kb_id_ == (answer.id if answer.probability > threshold else NIL)


def test_nil_is_said_where_the_linker_says_so_and_where_nothing_is_marked(folder: Path, names: list[str]) -> None:
    nlp = pipeline(folder, names, spans_key="ruler")
    component = nlp.get_pipe("dim_linker")
    doc = nlp.make_doc("Ada  sings.")
    doc.spans["ruler"] = [Span(doc, 1, 2, "PERSON"), Span(doc, 0, 1, "PERSON")]
    assert doc[1].text == " "
    component(doc)
    blank, ada = doc.spans["ruler"]
    assert (blank.kb_id_, blank._.kb_score, blank._.kb_candidates) == (NIL, None, [])
    assert ada.kb_id_ not in ("", NIL)
    component.linker.remove_entities([entity.id for entity in component.linker.knowledge])
    component(doc)
    assert doc.spans["ruler"][1].kb_id_ == NIL


def test_a_threshold_needs_probabilities(folder: Path, names: list[str], tmp_path: Path, texts: list[str]) -> None:
    linker = Linker.from_pretrained(folder, device="cpu")
    linker.ranker = None
    linker.save(tmp_path / "plain")
    doc = pipeline(tmp_path / "plain", names)(texts[0])
    assert doc.ents[0]._.kb_probability is None
    assert doc.ents[0]._.kb_score is not None
    with pytest.raises(ConfigError, match="a linker with probabilities"):
        pipeline(tmp_path / "plain", names, threshold=0.5)(texts[0])


def test_a_saved_pipeline_and_its_documents_come_back(nlp: Language, texts: list[str], tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    before, after = list(nlp.pipe(texts)), list(loaded.pipe(texts))
    links = [[(span.text, span.kb_id_, span._.kb_candidates) for span in doc.ents] for doc in before]
    assert [[(span.text, span.kb_id_, span._.kb_candidates) for span in doc.ents] for doc in after] == links
    kept = DocBin(docs=before, store_user_data=True).to_bytes()
    docs = list(DocBin().from_bytes(kept).get_docs(loaded.vocab))
    read = [[(span.text, span.kb_id_, span._.kb_candidates) for span in doc.ents] for doc in docs]
    assert json.dumps(read) == json.dumps(links)  # lists come back as tuples
    again = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert [span.kb_id_ for span in again(texts[0]).ents] == [span.kb_id_ for span in before[0].ents]


def test_a_pipeline_whose_linker_moved_says_how_to_name_it(folder: Path, names: list[str], tmp_path: Path) -> None:
    moved = tmp_path / "gone"
    moved.symlink_to(folder)
    pipeline(moved, names).to_disk(tmp_path / "pipeline")
    moved.unlink()
    with pytest.raises(DataError, match=r"a linker's folder at(.|\n)*config={'components\.dim_linker\.model': FOLDER}"):
        spacy.load(tmp_path / "pipeline")
    found = spacy.load(tmp_path / "pipeline", config={"components.dim_linker.model": str(folder)})
    assert found(names[0]).ents[0].kb_id_


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"top_k": 0}, "top_k of at least 1"),
        ({"threshold": 1.5}, "threshold as a probability, 0 to 1\nfound    1.5"),
        ({"context": "page"}, "context"),
        ({"nil": True}, "unexpected argument: 'nil'"),
    ],
)
def test_options_out_of_range_are_named(
    folder: Path, names: list[str], config: dict[str, object], message: str
) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        pipeline(folder, names, **config)


def test_a_run_whose_dataset_moved_is_linked_from_where_it_is(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], tmp_path: Path
) -> None:
    run = demo_run(tmp_path_factory)
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copytree(run, tmp_path / "elsewhere" / "run")
    places = json.loads((copy / "places.json").read_text())
    gone = {"given": "gone", "absolute": str(tmp_path / "gone"), "from_run": "../gone"}
    places["paths"]["data.root"] = gone
    (copy / "places.json").write_text(json.dumps(places))
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["data"]["root"] = "gone"
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(DataError, match="gone"):
        pipeline(copy, names)
    nlp = pipeline(copy, names, dataset=str(run.parent / "world"))
    doc = nlp(f"{names[0]} sings.")
    assert doc.ents[0].kb_id_ == linker_of(run).link(names[0], doc.text)[0].id


def test_packages_are_trusted_by_the_process_and_never_by_a_saved_pipeline(
    nlp: Language, folder: Path, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dim.serve.spacy_component, "_trusted", [])
    with pytest.raises(ConfigValidationError, match="trust"):
        pipeline(folder, names, trust="my_package")
    dim.serve.spacy_component.trust("my_package", "other")
    made = pipeline(folder, names)
    assert made.get_pipe("dim_linker").linker.about["trusted"] == ["my_package.", "other."]  # type: ignore[attr-defined]
    made.to_disk(tmp_path / "saved")
    assert "my_package" not in (tmp_path / "saved" / "config.cfg").read_text()


def test_evaluate_counts_links(nlp: Language, texts: list[str]) -> None:
    examples = []
    for place, text in enumerate(texts):
        gold = nlp(text)
        if place == 3:  # of its three links, one is wrong
            wrong = gold.ents[0]
            gold.ents = [Span(gold, wrong.start, wrong.end, wrong.label, kb_id="Q0"), *gold.ents[1:]]
        examples.append(Example(Doc(nlp.vocab, [t.text for t in gold], [bool(t.whitespace_) for t in gold]), gold))
    scores = nlp.evaluate(examples)
    assert scores["nel_micro_f"] == scores["nel_micro_p"] == pytest.approx(12 / 13)


def test_the_words_for_none_agree() -> None:
    assert dim.serve.spacy_component.NIL == NIL


def test_a_pipeline_without_the_component_does_not_load_the_linker() -> None:
    script = "import sys, dim.serve.spacy_component; sys.exit('dim.linker' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_without_spacy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; sys.modules['spacy'] = None; import dim.serve.spacy_component"
    said = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True).stderr
    assert "MissingExtraError" in said
    assert "pip install 'dim-linker[spacy]'" in said


def test_the_component_says_what_it_reads_and_writes(nlp: Language) -> None:
    meta = nlp.get_pipe_meta("dim_linker")
    assert "token.ent_kb_id" in meta.assigns
    assert isinstance(nlp.get_pipe("dim_linker"), DimLinker)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"context": "sentense"},
            "context as one of sentence, doc\nfound    'sentense'\nto do    Did you mean sentence",
        ),
        ({"labels": "PERSON"}, r"labels as a list\nfound    'PERSON'\nto do    Write \['PERSON'\]"),
        ({"top_k": "5"}, "top_k of at least 1"),
    ],
)
def test_options_that_spacy_does_not_check_are_checked(options: dict[str, object], message: str) -> None:
    usual = {"top_k": 5, "threshold": None, "labels": None, "spans_key": None, "context": "doc", "overwrite": True}
    with pytest.raises(ConfigError, match=message):
        Options(**(usual | options))  # type: ignore[arg-type]


def test_the_image_of_a_document_belongs_to_its_spans(
    nlp: Language, linker: Linker, tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    image = next(each.image for each in questions_of(demo_run(tmp_path_factory)) if each.image)
    text = f"{names[0]} met {names[1]}."
    docs = [nlp.make_doc(text) for _ in range(3)]
    docs[0]._.image, docs[1]._.image = image, Path(str(image)).read_bytes()
    with_path, with_bytes, without = nlp.pipe(docs)
    for place, name in enumerate(names[:2]):
        assert_says(with_path.ents[place], linker.link(name, text, image))
        assert with_bytes.ents[place]._.kb_score == pytest.approx(with_path.ents[place]._.kb_score, abs=1e-4)
        assert_says(without.ents[place], linker.link(name, text))
    assert without.ents[0]._.kb_score != pytest.approx(with_path.ents[0]._.kb_score, abs=1e-3)


def test_a_document_whose_image_cannot_be_used_is_an_error_that_others_survive(folder: Path, names: list[str]) -> None:
    nlp = pipeline(folder, names)
    docs = [nlp.make_doc(f"{name} sings.") for name in names[:3]]
    docs[1]._.image = "gone.png"
    failed = []
    nlp.get_pipe("dim_linker").set_error_handler(lambda name, pipe, bad, error: failed.extend(bad))
    assert list(nlp.pipe(docs)) == [docs[0], docs[2]]
    assert failed == [docs[1]]
    with pytest.raises(DataError, match=r"an image that can be read"):
        pipeline(folder, names)(docs[1])
