"""GLiNER's things are mentions; a tiny model with random weights, by GLiNER's own loading code."""

import re
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_text import write_bert

from dim.errors import ConfigError, DataError, MissingExtraError
from dim.linker.finders import GlinerFinder

LABELS = ["person", "place"]
SENTENCE = "Ada Lovelace wrote it in London."
MAX_LEN = 24  #: Words.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gliner = pytest.importorskip("gliner", reason="pip install 'dim-linker[gliner]'")
    place = tmp_path_factory.mktemp("gliner")
    sizes = {"hidden_size": 16, "max_len": MAX_LEN, "max_width": 3, "num_rnn_layers": 0}
    config = gliner.GLiNERConfig(model_name=str(write_bert(place / "bert")), **sizes)
    torch.manual_seed(0)
    gliner.GLiNER.from_config(config).save_pretrained(str(place / "model"))
    return place / "model"


def test_what_the_model_finds_is_found_from_a_folder(folder: Path) -> None:
    finder = GlinerFinder(folder, LABELS, threshold=0.4)
    expected = finder.model.predict_entities(SENTENCE, LABELS, threshold=0.4)
    assert expected
    assert finder.find(SENTENCE) == sorted((each["start"], each["end"]) for each in expected)
    assert finder.find("") == finder.find(" \n") == []
    assert GlinerFinder(finder.model, LABELS, threshold=1.0).find(SENTENCE) == []


def test_a_long_text_is_read_to_its_end_and_cut_at_sentences(folder: Path) -> None:
    finder = GlinerFinder(folder, LABELS, threshold=0.4)
    text = f"🙂 {SENTENCE} " * 3 + "word " * 40 + SENTENCE
    parts = [text[start:end] for start, end in finder._parts(text)]
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert parts[0] == f"🙂 {SENTENCE}"
    splitter = finder.model.data_processor.words_splitter
    assert max(len(list(splitter(part))) for part in parts) <= MAX_LEN // 2
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # it warns where it leaves words out
        found = finder.find(text)
    assert found == sorted(found)
    assert max(end for _, end in found) > text.rindex("London") - 30
    assert all(first[1] <= second[0] for first, second in pairwise(found))


class Capitals:
    """A model in GLiNER's place: words with a capital are things, as probable as a tenth of their letters."""

    config = SimpleNamespace(max_len=8)
    data_processor = SimpleNamespace(
        words_splitter=lambda text: ((each[0], *each.span()) for each in re.finditer(r"\w+|\S", text))
    )

    def inference(
        self, texts: list[str], labels: list[str], threshold: float, batch_size: int
    ) -> list[list[dict[str, int]]]:
        assert labels == LABELS
        found = [[each.span() for each in re.finditer(r"[A-Z]\w+", text)] for text in texts]
        return [[{"start": s, "end": e} for s, e in each[::-1] if (e - s) / 10 >= threshold] for each in found]


def test_places_are_those_of_the_text_and_the_threshold_is_the_models() -> None:
    text = f"🙂 so Ada went. {SENTENCE} Then {SENTENCE}"
    every = ["Ada", "Ada", "Lovelace", "London", "Then", "Ada", "Lovelace", "London"]
    for threshold, names in ((0.3, every), (0.5, ["Lovelace", "London"] * 2), (0.7, ["Lovelace"] * 2), (1, [])):
        found = GlinerFinder(Capitals(), [*LABELS, LABELS[0]], threshold).find(text)
        assert [text[start:end] for start, end in found] == names
        assert found == sorted(set(found))


def test_what_cannot_be_opened_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a model of GLiNER at "):
        GlinerFinder(tmp_path, LABELS)


def test_options_out_of_range_are_named() -> None:
    for labels in ("person", []):
        with pytest.raises(ConfigError, match="labels as a list of words"):
            GlinerFinder("x", labels)
    with pytest.raises(ConfigError, match="a threshold of 0 to 1\nfound    2"):
        GlinerFinder("x", LABELS, threshold=2)


def test_without_gliner_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gliner", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dim-linker\[gliner\]'"):
        GlinerFinder("urchade/gliner_small-v2.1", LABELS)
