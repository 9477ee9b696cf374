"""spaCy's entities are mentions."""

import sys
from pathlib import Path

import pytest
import spacy

from dim.errors import ConfigError, DataError, MissingExtraError
from dim.linker import Linker
from dim.linker.finders import SpacyFinder


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nlp = spacy.blank("en")
    rules = [{"label": "PERSON", "pattern": "Ada Lovelace"}, {"label": "GPE", "pattern": "London"}]
    nlp.add_pipe("entity_ruler").add_patterns(rules)  # type: ignore[attr-defined]
    folder = tmp_path_factory.mktemp("spacy") / "pipeline"
    nlp.to_disk(folder)
    return folder


def test_the_entities_of_a_pipeline_are_found_by_their_labels(pipeline: Path) -> None:
    text = "🙂 Ada Lovelace was born in London."
    assert SpacyFinder(pipeline).find(text) == [(2, 14), (27, 33)]
    assert SpacyFinder(str(pipeline), labels=["PERSON"]).find(text) == [(2, 14)]
    assert SpacyFinder(spacy.load(pipeline)).find("") == []


def test_what_cannot_be_opened_or_read_is_named(pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a pipeline of spaCy at no_such_pipeline\nfound .*E050"):
        SpacyFinder("no_such_pipeline")
    with pytest.raises(DataError, match=r"a pipeline of spaCy at .*\nfound .*E053"):
        SpacyFinder(tmp_path)
    with pytest.raises(ConfigError, match=r"labels as a list\nfound    'PERSON'\nto do    Write \['PERSON'\]"):
        SpacyFinder(pipeline, labels="PERSON")
    finder = SpacyFinder(pipeline)
    finder.pipeline.max_length = 10
    with pytest.raises(DataError, match=r"a text of at most 10 characters for spaCy\nfound    11"):
        finder.find("a" * 11)


def test_without_spacy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dim-linker\[spacy\]'"):
        SpacyFinder("en_core_web_sm")


def test_what_is_too_long_for_a_mention_leaves_the_others() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(
        [{"label": "LIST", "pattern": [{"LOWER": "lalalala", "OP": "+"}]}, {"label": "PERSON", "pattern": "Ada"}]
    )
    linker = Linker.from_entities([{"id": "Q1", "name": "Ada"}, {"id": "Q2", "name": "Bob"}])
    found = linker.annotate("Ada sings: " + "lalalala " * 120, finder=SpacyFinder(nlp))
    assert [(each.start, each.end) for each in found] == [(0, 3)]
