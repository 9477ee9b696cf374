"""`dim annotate`: a text from the shell, its mentions found and linked."""

import io
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import spacy
from PIL import Image

from dim.__main__ import main
from dim.collective.coherence import COHERENCE
from dim.collective.collective import Collective
from dim.display.terminal import Console
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.linker import Linker
from dim.linker.shown import show_annotations

TABLE = """id;name;description;aliases
m1;Käthe Kollwitz;Deutsche Grafikerin;K. Kollwitz
m2;齐白石;painted shrimps;Qi Baishi
"""
TEXT = "🙂 Käthe Kollwitz drew.\r\nQi Baishi\tpainted."
MARKED = [(2, 16, "Käthe Kollwitz", "m1"), (24, 33, "Qi Baishi", "m2")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotate")
    (folder / "museum.csv").write_text(TABLE, encoding="utf-8")
    assert main(["linker", str(folder / "museum.csv"), str(folder / "linker"), "--verify", "false"]) == 0
    return folder / "linker"


def ask(model: Path, *more: str) -> int:
    return main(["annotate", "--model", str(model), "--device", "cpu", *more])


def test_a_text_has_a_line_a_mention_in_a_pipe(model, capsys):
    assert ask(model, "--text", TEXT) == 0
    said = capsys.readouterr()
    heads, *rows = [line.split("\t") for line in said.out.splitlines()]
    assert heads == ["start", "end", "mention", "id", "name", "probability", "text"]
    assert [(int(row[0]), int(row[1]), row[2], row[3]) for row in rows] == MARKED
    probability = Linker.from_pretrained(model).annotate(TEXT)[1].answers[0].probability
    assert rows[1][4:] == ["齐白石", f"{probability:.4f}", "painted shrimps"]
    assert said.err.splitlines()[-1] == "probabilities: fitted on WikiMEL, not on your data"


def test_a_terminal_shows_a_table(model, capsys):
    found = Linker.from_pretrained(model).annotate("Qi Baishi\npainted")
    show_annotations(found, as_json=False, console=Console(force_terminal=True, width=60, color_system=None))
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["start", "end", "mention", "id", "name", "probability"]
    assert row.split()[:5] == ["0", "9", "Qi", "Baishi", "m2"]


@pytest.mark.parametrize("way", ["file", "utf-16", "stdin"])
def test_a_text_is_read_from_a_file_or_a_pipe_with_every_character(model, tmp_path, capsys, monkeypatch, way):
    place = "-"
    if way == "stdin":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode("utf-8-sig")), "ascii"))
    else:
        place = str(tmp_path / "a.txt")
        Path(place).write_bytes(TEXT.encode("utf-16" if way == "utf-16" else "utf-8-sig"))
    assert ask(model, "--input", place, "--as_json", "true") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(a["start"], a["end"], a["mention"], a["answers"][0]["id"]) for a in found] == MARKED
    assert found[0]["answers"][0]["evidence"]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_file_has_a_row_a_mention(model, tmp_path, capsys, kind):
    out = tmp_path / f"found.{kind}"
    assert ask(model, "--text", TEXT, "--output", str(out), "--top_k", "2") == 0
    assert capsys.readouterr().out == f"2 mentions linked: {out}\n"
    read = {"jsonl": lambda path: pd.read_json(path, lines=True), "csv": pd.read_csv, "parquet": pd.read_parquet}[kind]
    frame = read(out)
    best = frame["entity_ids"].str.split("|").str[0] if kind == "csv" else [each[0]["id"] for each in frame["answers"]]
    assert [*zip(frame["start"], frame["end"], frame["mention"], best, strict=True)] == MARKED
    if kind == "jsonl":
        assert "evidence" not in frame["answers"][0][0]
    assert ask(model, "--text", TEXT, "--output", str(out)) == 1
    assert "a new file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_spacy_finds_them_where_that_is_wanted(model, tmp_path, capsys):
    nlp = spacy.blank("en")
    rules = [{"label": "PERSON", "pattern": "Kollwitz"}, {"label": "GPE", "pattern": "Berlin"}]
    nlp.add_pipe("entity_ruler").add_patterns(rules)
    nlp.to_disk(tmp_path / "nlp")
    spacys = ["--finder", "spacy", "--finder_model", str(tmp_path / "nlp")]
    text = ["--text", "Kollwitz lived in Berlin; Qi Baishi"]
    assert ask(model, *text, *spacys) == 0
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()[1:]] == ["Kollwitz", "Berlin"]
    assert ask(model, *text, *spacys, "--finder_labels", "GPE|ORG") == 0
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()[1:]] == ["Berlin"]


def test_names_are_found_in_any_case_where_that_is_wanted_and_none_is_said(model, capsys):
    assert ask(model, "--text", "QI BAISHI") == 0
    said = capsys.readouterr()
    assert said.out == ""
    nothing = "no mention: no name of the 2 entities stands in the text (--ignore_case true looks in any case)"
    assert said.err.splitlines()[-1] == nothing
    assert ask(model, "--text", "QI BAISHI", "--ignore_case", "true") == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[:4] == ["0", "9", "QI BAISHI", "m2"]
    assert ask(model, "--text", "nobody", "--ignore_case", "true") == 0
    assert capsys.readouterr().err.splitlines()[-1] == "no mention: no name of the 2 entities stands in the text"
    assert ask(model, "--text", "nobody", "--as_json", "true") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_an_image_belongs_to_the_text(tmp_path, capsys):
    entities = []
    for colour in ("red", "blue"):
        Image.new("RGB", (32, 32), colour).save(tmp_path / f"{colour}.png")
        entities.append({"id": colour, "name": "Qi Baishi", "image": str(tmp_path / f"{colour}.png")})
    encoders = TinyTextEncoder(624), TinyImageEncoder()
    linker = Linker.from_entities(entities, *encoders, ranker=None)
    linker.save(tmp_path / "linker")
    for colour in ("red", "blue"):
        image = ["--image", str(tmp_path / f"{colour}.png")]
        assert ask(tmp_path / "linker", "--text", "Qi Baishi", *image, "--as_json", "true") == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert found["answers"][0]["id"] == colour


def test_mentions_are_answered_together_where_that_is_wanted_and_was_learned(model, tmp_path, capsys):
    bank = "judge of the Granite Bank in Irsk"
    kb = {"p1": ("Ann Falk", "painter in Ambrel"), "p2": ("Ann Falk (judge)", bank), "q": ("Bo Quist", bank)}
    kb |= {f"r{place}": (f"Cy Ren{place}", f"swimmer number {place}") for place in range(20)}
    linker = Linker.from_entities([{"id": each, "name": name, "text": text} for each, (name, text) in kb.items()])
    linker.ranker.facts["collective"] = Collective(dict.fromkeys(COHERENCE, 0.0) | {"words": 30.0}).to_fact()
    linker.save(tmp_path / "linker")
    for collective, best in (("false", "p1"), ("true", "p2")):
        assert ask(tmp_path / "linker", "--text", "Ann Falk met Bo Quist.", "--collective", collective) == 0
        assert [row.split("\t")[3] for row in capsys.readouterr().out.splitlines()[1:]] == [best, "q"]
    assert ask(model, "--text", TEXT, "--collective", "true") == 1
    assert "has learned to answer a text's mentions together" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "--text, or --input FILE\nfound    neither"),
        (["--text", "a", "--input", "b"], "--text, or --input FILE\nfound    both"),
        (["--input", "no_such_file"], "no_such_file\nfound    nothing there"),
        (["--input", "/dev/null"], "a text in /dev/null\nfound    none"),
        (["--text", "a", "--evidence", "true"], "--evidence beside --output"),
        (["--text", "a", "--output", "a.txt"], "an --output of .jsonl"),
        (["--text", "a", "--output", "a.csv", "--as_json", "true"], "--as_json for the screen"),
        (
            ["--text", "a", "--finder_model", "x"],
            "--finder spacy or gliner beside --finder_model\nfound    a dictionary",
        ),
        (["--text", "a", "--finder", "spacy"], "a --finder_model for spacy"),
        (["--text", "a", "--finder", "spacy", "--ignore_case", "true"], "a dictionary beside --ignore_case"),
        (["--text", "a", "--finder", "spacy", "--finder_model", "no_such"], "a pipeline of spaCy at no_such"),
        (["--text", "a", "--finder", "gliner", "--finder_model", "x"], "--finder_labels for gliner"),
        (["--text", "a", "--top_k", "0"], "top_k of at least 1"),
    ],
)
def test_a_wrong_line_says_what_to_do(model, capsys, more, said):
    assert ask(model, *more) != 0
    assert said in capsys.readouterr().err
