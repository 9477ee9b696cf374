"""`dim link`, `dim export` and `dim index` through the real command line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from demo_run import demo_run, linker_of, questions_of

from dim.__main__ import main
from dim.linker import Linker


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported linker, which tests leave as it is."""
    folder = tmp_path_factory.mktemp("link") / "model"
    assert main(["export", str(run), str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def entity(model: Path) -> dict[str, Any]:
    known = next(entity for entity in Linker.from_pretrained(model).knowledge if entity.text)
    return {"id": known.id, "name": known.name, "text": known.text}


def ask(model: Path, *more: str) -> int:
    return main(["link", "--model", str(model), "--device", "cpu", *more])


def write_lines(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_one_mention_gets_a_readable_table(model, entity, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert ask(model, "--mention", entity["name"], "--context", entity["text"], "--top_k", "3") == 0
    shown = capsys.readouterr().out
    assert entity["id"] in shown
    assert entity["name"] in shown
    assert entity["text"][:20] in shown
    assert len([line for line in shown.splitlines() if line.startswith("│")]) == 3


def test_one_mention_gets_json_from_folder_and_run_alike(model, run, entity, capsys):
    image = next(str(question.image) for question in questions_of(run) if question.image)
    found = []
    for place in (model, run):
        options = "--mention", entity["name"], "--context", entity["text"], "--image", image, "--as_json", "true"
        assert ask(place, *options) == 0
        found.append(json.loads(capsys.readouterr().out))
    for ours, theirs in zip(*found, strict=True):
        assert ours["score"] == pytest.approx(theirs.pop("score"), abs=1e-5)
        assert ours["evidence"] == pytest.approx(theirs.pop("evidence"), abs=1e-4)
        assert ours["id"] == theirs["id"]
    assert set(found[0][0]) == {"id", "name", "text", "score", "probability", "evidence", "images"}
    assert len(found[0]) == 5


def test_candidates_compete_alone(model, capsys):
    known = [entity.id for entity in Linker.from_pretrained(model).knowledge][:2]
    assert ask(model, "--mention", "Velton", "--candidates", json.dumps(known), "--as_json", "true") == 0
    assert {answer["id"] for answer in json.loads(capsys.readouterr().out)} - {"NIL"} == set(known)


def test_a_name_in_brackets_is_shown_as_it_is(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    linker = Linker.from_pretrained(model)
    linker.add_entities([{"id": "b1", "name": "[/red] Zyxtral [bold]", "text": "[/x] a text"}])
    linker.save(tmp_path / "model")
    assert ask(tmp_path / "model", "--mention", "[/red] Zyxtral [bold]", "--candidates", '["b1"]') == 0
    assert "[/red] Zyxtral [bold]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "a mention, or an image"),
        (["--mention", "x", "--input", "lines"], "a mixture of both"),
        (["--input", "lines"], "a mixture of both"),
        (["--input", "lines", "--output", "answers", "--context", "x"], "a mixture of both"),
        (["--input", "absent", "--output", "answers"], "a file of JSON lines in UTF-8 at absent"),
        (["--input", "lines", "--output", "answers", "--batch_size", "0"], "batch_size and top_k of at least 1"),
        (["--input", "latin", "--output", "answers"], "a file of JSON lines in UTF-8 at latin"),
        (["--mention", "x", "--top_k", "0"], "top_k of at least 1"),
        (["--mention", "x", "--image", "absent.png"], "an image that can be read"),
        (["--mention", "x", "--candidates", '["Q0"]'], "the id of one of 300 entities"),
    ],
)
def test_wrong_options_say_what_was_expected(model, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "lines", [{"mention": "x"}])
    (tmp_path / "latin").write_bytes('{"mention": "é"}\n'.encode("latin-1"))
    assert ask(model, *options) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "answers").exists()


def test_a_model_that_is_none_says_what_to_do(tmp_path, capsys):
    assert ask(tmp_path / "absent", "--mention", "x") == 1
    assert "dim export RUN FOLDER" in capsys.readouterr().err


def test_each_line_of_a_file_gets_its_answers_or_its_error(model, run, tmp_path, capsys):
    questions = questions_of(run)[:10]
    lines: list[Any] = [
        {"id": f"m{place}", "mention": q.mention, "context": q.context, "image": q.image}
        for place, q in enumerate(questions)
    ]
    wrong = {
        1: ({"id": "bad image", "mention": "x", "image": str(tmp_path / "absent.png")}, "not found"),
        2: ("no json", "Expecting value"),
        3: ('["a list"]', "expected a JSON object found list"),
        4: ({"id": "blank", "mention": " "}, "a mention, or an image"),
        5: ({"mention": "x", "kontext": "y"}, "the field kontext"),
        6: ({"mention": 5}, "expected text as mention found int"),
        7: ({"mention": "x", "candidates": ["Q0"]}, "'Q0'"),
        8: ('{"mention": "Ada \\ud83d"}', "half of one, U+D83D"),
        9: ("[" * 100_000, "recursion"),
        10: ({"mention": "y" * 2000}, "at most 1,000 characters"),
    }
    lines = [*lines[:5], *(line for line, _ in wrong.values()), *lines[5:]]
    source = write_lines(tmp_path / "mentions.jsonl", [lines[0], "", *lines[1:], "   "])
    answers = tmp_path / "answers.jsonl"
    assert ask(model, "--input", str(source), "--output", str(answers), "--top_k", "3", "--batch_size", "8") == 0
    assert f"20 lines answered: {answers} (10 errors)" in capsys.readouterr().out
    found = read_lines(answers)
    assert len(found) == 20
    good = [*found[:5], *found[15:]]
    expected = linker_of(run).link_batch(questions, top_k=3)
    for line, asked, given in zip(good, [*lines[:5], *lines[15:]], expected, strict=True):
        assert {name: line[name] for name in asked} == asked
        assert [answer["id"] for answer in line["answers"]] == [answer.id for answer in given]
        assert [a["score"] for a in line["answers"]] == pytest.approx([a.score for a in given], abs=1e-5)
    for line, (asked, message) in zip(found[5:15], wrong.values(), strict=True):
        assert message in line["error"]
        assert "answers" not in line
        if isinstance(asked, dict):
            assert {name: line[name] for name in asked} == asked
    assert found[6]["line"] == "no json"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "mentions.jsonl"]


def test_an_interrupted_file_goes_on_and_ends_as_an_undisturbed_one(model, run, tmp_path, capsys):
    lines: list[Any] = [
        {"id": f"m{place}", "mention": q.mention, "context": q.context, "image": q.image}
        for place, q in enumerate(questions_of(run) * 4)
    ]
    lines[0] = "no json"
    source = write_lines(tmp_path / "mentions.jsonl", lines)
    options = ["--input", str(source), "--batch_size", "3"]
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    assert ask(model, *options, "--output", str(whole)) == 0
    command = [sys.executable, "-m", "dim", "link", "--model", str(model), "--device", "cpu", *options]
    with subprocess.Popen([*command, "--output", str(killed)], stderr=subprocess.DEVNULL) as process:
        partial = tmp_path / "killed.jsonl.partial"
        deadline = time.monotonic() + 120
        while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    assert not killed.exists()
    assert 0 < len(read_lines(partial)[:-1]) < len(lines)
    with partial.open("ab") as file:
        file.write(b'{"id": "cut o')
    capsys.readouterr()
    for changed in (["--top_k", "2"], ["--batch_size", "4"]):
        assert ask(model, *options, "--output", str(killed), *changed) == 1
        assert "Use the same options, or remove" in capsys.readouterr().err
    write_lines(source, [*lines[:-1], "another"])
    assert ask(model, *options, "--output", str(killed)) == 1
    write_lines(source, lines)
    assert ask(model, *options, "--output", str(killed)) == 0
    assert f"{len(lines)} lines answered: {killed} (1 errors)" in capsys.readouterr().out
    assert killed.read_bytes() == whole.read_bytes()
    assert ask(model, *options, "--output", str(killed)) == 1
    assert "one that is there" in capsys.readouterr().err
    assert killed.read_bytes() == whole.read_bytes()


def test_export_says_what_it_wrote(run, tmp_path, capsys):
    (tmp_path / "model").mkdir()
    assert main(["export", str(run), str(tmp_path / "model")]) == 0
    shown = capsys.readouterr().out
    assert "index: exact, 300 vectors of" in shown
    assert re.search(r"written: \S+ \(\d+ MB, 300 entities\)", shown)
    (tmp_path / "none").mkdir()
    assert main(["export", str(tmp_path / "none"), str(tmp_path / "other")]) == 1
    assert "a run with its config.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["exact", "flat", "ivf", "hnsw"])
def test_an_index_of_each_kind_reaches_its_recall_and_keeps_the_answers(model, run, tmp_path, capsys, kind):
    folder = shutil.copytree(model, tmp_path / "model")
    assert main(["index", str(folder), "--kind", kind]) == 0
    shown = capsys.readouterr().out
    assert f"index: {kind}, 300 vectors of" in shown
    linker, questions = Linker.from_pretrained(folder, device="cpu"), questions_of(run)
    assert linker.index.kind == kind
    recall = 1.0
    if kind != "exact":
        recall = float(re.search(r"recall@10 ([\d.]+)", shown)[1])
        assert recall > 0.9
    before = [answers[0].id for answers in linker_of(run).link_batch(questions)]
    after = [answers[0].id for answers in linker.link_batch(questions)]
    assert sum(a == b for a, b in zip(before, after, strict=True)) >= (recall - 0.05) * len(questions)
    if kind in ("exact", "flat"):
        assert before == after
