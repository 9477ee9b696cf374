"""`dim link`, `dim export` and `dim index` through the real command line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from demo_run import demo_run, linker_of, questions_of, world_of

from dim.__main__ import main
from dim.data.table_files import list_cell, read_table
from dim.errors import DataError
from dim.inference.places import read_config
from dim.linker import Linker, Question
from dim.linker.each import link_each
from dim.linker.opening import content_of, open_linker
from dim.methods.contrastive.linker import ContrastiveLinker


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported linker, which tests leave as it is."""
    folder = tmp_path_factory.mktemp("link") / "model"
    assert main(["export", str(run), str(folder), "--verify", "false"]) == 0
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


def test_one_mention_gets_a_line_an_answer_in_a_pipe(model, entity, capsys):
    assert ask(model, "--mention", entity["name"], "--context", entity["text"], "--top_k", "3") == 0
    heading, *lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert heading == ["rank", "id", "name", "score", "text"]
    assert lines[0][:3] == ["1", entity["id"], entity["name"]]
    assert lines[0][4] == entity["text"]
    assert len(lines) == 3


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
    for given in (json.dumps(known), "|".join(known)):
        assert ask(model, "--mention", "Velton", "--candidates", given, "--as_json", "true") == 0
        assert {answer["id"] for answer in json.loads(capsys.readouterr().out)} - {"NIL"} == set(known)
    assert ask(model, "--mention", "Velton", "--candidates", known[0]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"1\t{known[0]}\t")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--mention, --image, or --input FILE with --output FILE\nfound    none"),
        (["--mention", "x", "--input", "lines"], "a mixture of both"),
        (["--input", "lines"], "one of the two files"),
        (["--output", "answers.csv"], "one of the two files"),
        (["--input", "lines", "--output", "answers", "--context", "x"], "a mixture of both"),
        (["--input", "absent", "--output", "a.jsonl"], "expected absent\nfound    nothing there"),
        (["--input", "lines", "--output", "a.jsonl", "--batch_size", "0"], "batch_size of at least 1"),
        (["--input", "lines", "--output", "a.jsonl", "--top_k", "0"], "top_k of at least 1"),
        (["--input", "latin", "--output", "a.jsonl"], "UTF-8 text in latin\nfound    the byte 0xe9 at line 1"),
        (["--input", "lines", "--output", "a.jsonl", "--encoding", "klingon"], "an encoding, such as utf-8"),
        (["--input", "lines", "--output", "a.jsonl", "--as_json", "true"], "--as_json for one --mention"),
        (["--input", "lines", "--output", "answers"], "an --output of .jsonl, .ndjson, .csv, .tsv, .parquet"),
        (["--input", "lines", "--output", "a.xlsx"], "an --output of .jsonl, .ndjson, .csv, .tsv, .parquet"),
        (["--input", "empty", "--output", "a.jsonl"], "questions in empty\nfound    none"),
        (["--input", "names.csv", "--output", "a.csv"], "the first, line 2: expected the field mention, or image"),
        (["--input", "kontext.csv", "--output", "a.csv"], "found the field kontext; to do Rename it: context"),
        (["--mention", "x", "--evidence", "true"], "--evidence beside --input"),
        (["--mention", "x", "--encoding", "cp1252"], "--encoding beside --input"),
        (["--mention", "x", "--top_k", "0"], "top_k of at least 1"),
        (["--mention", "x", "--image", "absent.png"], "an image that can be read"),
        (["--mention", "x", "--candidates", '["Q0"]'], "the id of one of 300 entities"),
    ],
)
def test_wrong_options_say_what_was_expected(model, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "lines", [{"mention": "x"}])
    (tmp_path / "latin").write_bytes('{"mention": "é"}\n'.encode("latin-1"))
    (tmp_path / "empty").touch()
    (tmp_path / "names.csv").write_text("name,context\nAda,Ada sings.\n")
    (tmp_path / "kontext.csv").write_text("mention,kontext\nAda,Ada sings.\n")
    there = sorted(tmp_path.iterdir())
    # What is wrong with the options or the file is said before a model is looked for.
    needs_model = options[:1] == ["--mention"] and message.startswith(("an image", "the id"))
    assert ask(model if needs_model else tmp_path / "no model", *options) == 1
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == there


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
        2: ("no json", "Expecting value at line 8, column 1"),
        3: ('["a list"]', "one JSON object a line"),
        4: ({"id": "blank", "mention": " "}, "a mention, or an image"),
        5: ({"mention": "x", "kontext": "y"}, "the field kontext"),
        6: ({"mention": [5]}, "expected text as mention in the row; found an array"),
        7: ({"mention": "x", "candidates": ["Q0"]}, "'Q0'"),
        8: ('{"mention": "Ada \\ud83d"}', "half of one, U+D83D"),
        9: ("[" * 100_000, "nested too deeply"),
        10: ({"mention": "y" * 2000}, "at most 1,000 characters"),
        12: ({"mention": "x", "context": "ax", "start": 0, "end": 1}, "start and end of the mention 'x' in the row"),
        11: ({"mention": "x", "image": "a/" * 5000 + "\0"}, "not found"),
    }
    lines = [*lines[:5], *(line for line, _ in wrong.values()), *lines[5:]]
    source = write_lines(tmp_path / "mentions.jsonl", [lines[0], "", *lines[1:], "   "])
    answers = tmp_path / "answers.jsonl"
    assert ask(model, "--input", str(source), "--output", str(answers), "--top_k", "3", "--batch_size", "8") == 0
    assert f"22 rows answered: {answers} (12 errors; the first, line 7: expected an image" in capsys.readouterr().out
    found = read_lines(answers)
    assert len(found) == 22
    good = [*found[:5], *found[17:]]
    expected = linker_of(run).link_batch(questions, top_k=3)
    for line, asked, given in zip(good, [*lines[:5], *lines[17:]], expected, strict=True):
        assert {name: line[name] for name in asked} == asked
        assert [answer["id"] for answer in line["answers"]] == [answer.id for answer in given]
        assert [a["score"] for a in line["answers"]] == pytest.approx([a.score for a in given], abs=1e-5)
    for line, (asked, message) in zip(found[5:17], wrong.values(), strict=True):
        assert message in line["error"]
        assert "answers" not in line
        if isinstance(asked, dict):
            assert {name: line[name] for name in asked} == asked
    assert found[6]["line"] == "line 8"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "mentions.jsonl"]


KILLED_IN_ITS_FOURTH_BATCH = """
import os, signal, sys
import dim.linker.job as job
from dim.__main__ import main

link, batches = job.link_each, iter(range(3))

def dying(*given):
    if next(batches, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return link(*given)

job.link_each = dying
main(sys.argv[1:])
"""


@pytest.mark.long
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
    command = [sys.executable, "-c", KILLED_IN_ITS_FOURTH_BATCH, "link", "--model", str(model), "--device", "cpu"]
    done = subprocess.run([*command, *options, "--output", str(killed)], stderr=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGKILL
    assert not killed.exists()
    partial = tmp_path / "killed.jsonl.partial"
    assert len(read_lines(partial)) == 9
    with partial.open("ab") as file:
        file.write(b'{"id": "cut o')
    capsys.readouterr()
    for changed in (["--top_k", "2"], ["--batch_size", "4"], ["--evidence", "true"]):
        assert ask(model, *options, "--output", str(killed), *changed) == 1
        assert f"Use the same {changed[0][2:]}, or remove" in capsys.readouterr().err
    linker = Linker.from_pretrained(model, device="cpu")
    linker.add_entities([{"id": "9", "name": "Ada"}])
    linker.save(tmp_path / "model")
    assert ask(tmp_path / "model", *options, "--output", str(killed)) == 1
    assert "the model that" in capsys.readouterr().err
    moved = shutil.copytree(model, tmp_path / "moved")  # the same linker in another place goes on
    write_lines(source, [*lines[:-1], lines[-1] | {"context": "another"}])
    capsys.readouterr()
    assert ask(model, *options, "--output", str(killed)) == 1
    assert "Use the same input, or remove" in capsys.readouterr().err
    write_lines(source, lines)
    assert ask(moved, *options, "--output", str(killed)) == 0
    assert f"{len(lines)} rows answered: {killed} (1 error; the first, row 1: " in capsys.readouterr().out
    assert killed.read_bytes() == whole.read_bytes()
    assert ask(model, *options, "--output", str(killed)) == 1
    assert "one that is there" in capsys.readouterr().err
    assert killed.read_bytes() == whole.read_bytes()


@pytest.fixture(scope="module")
def table(run, tmp_path_factory):
    """Questions with columns of the user's own, an image beside the table, and what each must be answered as."""
    folder = tmp_path_factory.mktemp("table")
    with_image = next(question for question in questions_of(run) if question.image)
    shutil.copy(str(with_image.image), folder / "photo.png")
    known = [entity.id for entity in linker_of(run).knowledge][:2]
    rows = [
        {"mention_id": "a", "mention": with_image.mention, "context": "", "image": "absent.png|photo.png", "n": "1"},
        {"mention_id": "b", "mention": "Velton", "context": 'Velton, "the" | one;', "image": "", "n": "2"},
        {"mention_id": "c", "mention": "Velton", "context": "", "image": "", "n": "3", "candidates": "|".join(known)},
        {"mention_id": "d", "mention": "Velton", "context": "", "image": "gone.png", "n": "4"},
    ]
    rows = [{"candidates": ""} | row for row in rows]
    asked = [Question(with_image.mention, "", with_image.image), Question("Velton", rows[1]["context"]),
             Question("Velton", candidates=known)]  # fmt: skip
    return folder, rows, linker_of(run).link_batch(asked, 3)


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        write_lines(path, rows)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".csv", pytest.param(".tsv", marks=pytest.mark.long), ".parquet", ".jsonl"])
def test_tables_of_each_format_are_read_with_their_own_columns(model, table, tmp_path, capsys, suffix):
    folder, rows, expected = table
    source, output = write_rows(folder / f"mentions{suffix}", rows), tmp_path / "answers.jsonl"
    assert ask(model, "--input", str(source), "--output", str(output), "--top_k", "3") == 0
    shown = capsys.readouterr()
    assert "columns that are kept and not read: mention_id, n" in " ".join(shown.err.split())
    assert f"4 rows answered: {output} (1 error; the first, " in shown.out
    *found, failed = read_lines(output)
    assert [{name: row[name] for name in rows[0]} for row in (*found, failed)] == rows
    for row, answers in zip(found, expected, strict=True):
        assert [answer["id"] for answer in row["answers"]] == [answer.id for answer in answers]
        assert set(row["answers"][0]) == {"id", "name", "text", "score", "probability", "images"}
    assert "gone.png: not found" in failed["error"]


@pytest.mark.parametrize(
    ("suffix", "replaced", "unread"),
    [
        (".jsonl", "answers, error", "n, entity_ids, entity_names, entity_scores, entity_probabilities"),
        (".csv", "entity_ids, entity_names, entity_scores, entity_probabilities, answers, error", "n"),
    ],
)
def test_columns_that_the_answers_take_the_place_of_are_told(model, entity, tmp_path, capsys, suffix, replaced, unread):
    cells = dict.fromkeys(("entity_ids", "entity_names", "entity_scores", "entity_probabilities"), "old")
    row = {"mention": entity["name"], "context": entity["name"], "start": 0, "end": len(entity["name"]), "n": 1}
    source = write_lines(tmp_path / "asked.jsonl", [row | cells | {"answers": "old", "error": "old"}])
    output = tmp_path / f"answers{suffix}"
    assert ask(model, "--input", str(source), "--output", str(output)) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [
        f"note: columns that are kept and not read: {unread}",
        f"note: columns of the input that the answers' own columns replace: {replaced}",
    ]
    found = read_table(output).rows[0]
    assert not {name: value for name, value in found.items() if name in replaced.split(", ") and value == "old"}
    assert all(found[name] == "old" for name in unread.split(", ") if name != "n")
    assert str(found["end"]) == str(len(entity["name"]))


@pytest.mark.parametrize("suffix", [".jsonl", *(pytest.param(x, marks=pytest.mark.long) for x in (".csv", ".parquet"))])
def test_a_file_of_earlier_answers_is_a_file_of_questions(model, table, tmp_path, capsys, suffix):
    folder, rows, _ = table
    source, first, second = write_rows(folder / "first.csv", rows), folder / f"a{suffix}", tmp_path / f"b{suffix}"
    assert ask(model, "--input", str(source), "--output", str(first), "--top_k", "3") == 0
    assert "replace" not in capsys.readouterr().err
    assert ask(model, "--input", str(first), "--output", str(second), "--top_k", "3") == 0
    assert "that the answers' own columns replace: " in capsys.readouterr().err
    assert second.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_answers_are_written_in_the_format_that_their_file_names(model, table, tmp_path, suffix):
    folder, rows, expected = table
    source, output = write_rows(folder / "asked.csv", rows), tmp_path / f"answers{suffix}"
    assert ask(model, "--input", str(source), "--output", str(output), "--top_k", "3") == 0
    assert list(tmp_path.iterdir()) == [output]
    columns, found, _ = read_table(output)
    assert [{name: row[name] for name in rows[0]} for row in found] == rows
    for row, answers in zip(found, [*expected, None], strict=True):
        assert ("gone.png: not found" in (row["error"] or "")) == (answers is None)
        if suffix == ".parquet":
            assert (row["answers"] and [each["id"] for each in row["answers"]]) == (answers and [a.id for a in answers])
        else:
            assert list_cell(row["entity_ids"]) == [answer.id for answer in answers or []]
            assert len(list_cell(row["entity_scores"])) == len(answers or [])
    assert columns[-1] == "error"


def test_values_of_every_kind_stand_in_each_format(model, tmp_path):
    row = {
        "mention": "Velton",
        "n": 7,
        "share": 0.5,
        "tags": ["a|b", "c"],
        "more": {"x": [1]},
        "big": 2**70,
        "no": None,
    }
    other = {"mention": "Ada", "n": 8, "share": 1, "tags": [], "more": "text", "ok": True}
    source = write_lines(tmp_path / "asked.jsonl", [row, other, "no json"])
    for suffix in (".parquet", ".csv"):
        options = "--input", str(source), "--output", str(tmp_path / f"a{suffix}"), "--evidence", "true"
        assert ask(model, *options) == 0
    first, second, third = read_table(tmp_path / "a.parquet").rows
    assert (first["n"], second["share"], second["ok"], first["tags"]) == (7, 1.0, True, ["a|b", "c"])
    assert (json.loads(first["more"]), second["more"], int(first["big"]), first["no"]) == (
        {"x": [1]},
        "text",
        2**70,
        None,
    )
    assert dict(first["answers"][0]["evidence"])["vectors"] == pytest.approx(first["answers"][0]["score"], abs=1e-6)
    assert (third["line"], third["answers"]) == ("line 3", None)
    first, second, third = read_table(tmp_path / "a.csv").rows
    assert (first["n"], list_cell(first["tags"]), first["more"], second["ok"]) == (
        "7",
        ["a|b", "c"],
        '{"x": [1]}',
        "true",
    )


def test_a_table_that_was_cut_off_ends_as_an_undisturbed_one(model, table, tmp_path, monkeypatch):
    folder, rows, _ = table
    source = write_rows(folder / "many.csv", rows * 2)
    options = ["--input", str(source), "--batch_size", "3"]
    for suffix in (".csv", ".parquet"):
        whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
        assert ask(model, *options, "--output", str(whole)) == 0
        with monkeypatch.context() as patch:
            patch.setattr("dim.linker.job.link_each", interrupted_after(2))
            assert ask(model, *options, "--output", str(cut)) == 130
        assert len(read_lines(tmp_path / f"cut{suffix}.partial")) == 6
        assert ask(model, *options, "--output", str(cut)) == 0
        assert cut.read_bytes() == whole.read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_image_may_stand_in_its_cell(model, table, tmp_path, suffix):
    folder, rows, _ = table
    url = f"data:image/png;base64,{b64encode((folder / 'photo.png').read_bytes()).decode()}"
    asked = {"mention": rows[0]["mention"], "context": ""}
    images = [url, str(folder / "photo.png"), "data:image/png;base64,AAAA", "data:image/png,AAAA"]
    given = [asked | {"image": image} for image in images]
    write = write_lines if suffix == ".jsonl" else write_rows
    source = write(tmp_path / f"asked{suffix}", given)
    assert ask(model, "--input", str(source), "--output", str(tmp_path / "answers.jsonl")) == 0
    in_cell, by_path, no_image, no_url = read_lines(tmp_path / "answers.jsonl")
    assert in_cell["answers"] == by_path["answers"]
    assert "an image that can be read" in no_image["error"]
    assert "an image as a data URL" in no_url["error"]


def test_what_was_answered_by_other_images_or_options_is_not_gone_on_with(model, table, tmp_path, monkeypatch, capsys):
    folder, rows, _ = table
    shutil.copytree(folder, tmp_path / "asked")
    source, output = write_rows(tmp_path / "asked" / "asked.csv", rows * 2), tmp_path / "answers.jsonl"
    options = ["--input", str(source), "--batch_size", "3", "--output", str(output)]
    with monkeypatch.context() as patch:
        patch.setattr("dim.linker.job.link_each", interrupted_after(1))
        assert ask(model, *options) == 130
    photo = tmp_path / "asked" / "photo.png"
    shown, status = photo.read_bytes(), photo.stat()
    photo.write_bytes(shown + b" ")
    assert ask(model, *options) == 1
    assert "Use the same images, or remove" in capsys.readouterr().err
    photo.write_bytes(shown)
    os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns))
    others = {"top_k": "2", "batch_size": "4", "evidence": "true", "encoding": "utf-8", "judge": "none"}
    for name, value in {**others, "image_root": str(tmp_path)}.items():
        assert ask(model, *options, f"--{name}", value) == 1
        assert f"Use the same {name}, or remove" in capsys.readouterr().err
    assert ask(model, *options) == 0


def test_a_model_that_another_takes_the_place_of_while_it_is_opened_answers_nothing(
    model, tmp_path, monkeypatch, capsys
):
    place = shutil.copytree(model, tmp_path / "model")

    def opened_and_changed(*given: Any) -> Linker:
        linker = open_linker(*given)
        grown = Linker.from_pretrained(place, device="cpu")
        grown.add_entities([{"id": "9", "name": "Ada"}])
        grown.save(place)
        return linker

    source, output = write_lines(tmp_path / "asked.jsonl", [{"mention": "Ada"}]), tmp_path / "answers.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr("dim.linker.job.open_linker", opened_and_changed)
        assert ask(place, "--input", str(source), "--output", str(output)) == 1
    assert "a model that stays" in capsys.readouterr().err
    assert not output.exists()


def interrupted_after(num_batches: int) -> Any:
    batches = iter(range(num_batches))

    def link(*given: Any) -> Any:
        if next(batches, None) is None:
            raise KeyboardInterrupt
        return link_each(*given)

    return link


def test_a_models_content_follows_what_it_answers_by_and_not_its_place(model, run, tmp_path):
    assert content_of(str(shutil.copytree(model, tmp_path / "model"))) == content_of(str(model)) != content_of(str(run))
    copy = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("wandb", "logs"))
    assert content_of(str(copy)) == content_of(str(run))
    (copy / "ranker").mkdir()
    (copy / "ranker" / "facts.json").write_text("{}")
    with_ranker = content_of(str(copy))
    (copy / "checkpoints" / "best.ckpt").write_bytes(b"other weights")
    assert len({content_of(str(run)), with_ranker, content_of(str(copy))}) == 3
    before = content_of(str(copy))
    (copy / "config.yaml").write_text((copy / "config.yaml").read_text() + "# another\n")
    root = shutil.copytree(read_config(run)["data"]["root"], tmp_path / "world")
    with_options, of_dataset = content_of(str(copy)), content_of(str(copy), root)
    (root / "dataset.json").write_text((root / "dataset.json").read_text() + " ")
    assert before != with_options == of_dataset != content_of(str(copy), root)
    with pytest.raises(DataError, match="Write one"):
        content_of(str(tmp_path))


def test_a_file_of_errors_alone_ends_in_an_error(model, tmp_path, capsys):
    source = write_lines(
        tmp_path / "asked.jsonl", [{"mention": "x", "image": "gone.png"}, {"mention": "x", "image": 5}]
    )
    assert ask(model, "--input", str(source), "--output", str(tmp_path / "a.jsonl")) == 1
    shown = capsys.readouterr().err
    assert "an error in each of 2; the first, line 1: expected an image that can be read; found gone.png" in shown
    assert [set(row) for row in read_lines(tmp_path / "a.jsonl")] == [{"mention", "image", "error"}] * 2


def test_a_row_that_breaks_the_model_does_not_end_the_job(model, tmp_path, monkeypatch, capsys):
    link = ContrastiveLinker._link

    def breaks(self: Linker, questions: list[Question], top_k: int) -> Any:
        if any(question.mention == "bad" for question in questions):
            raise RuntimeError("The size of tensor a (600) must match")
        return link(self, questions, top_k)

    monkeypatch.setattr(ContrastiveLinker, "_link", breaks)
    source = write_lines(tmp_path / "asked.jsonl", [{"mention": name} for name in ("Ada", "bad", "Velton")])
    assert ask(model, "--input", str(source), "--output", str(tmp_path / "a.jsonl")) == 0
    first, bad, last = read_lines(tmp_path / "a.jsonl")
    assert bad == {"mention": "bad", "error": "RuntimeError: The size of tensor a (600) must match"}
    assert first["answers"]
    assert last["answers"]


def test_a_jobs_answers_can_be_evaluated(model, run, tmp_path, capsys):
    world = world_of(run)
    rows = world.split("dev").rename(columns={"id": "mention_id"})[["mention_id", "mention", "context"]]
    rows.to_csv(tmp_path / "asked.csv", index=False)
    answers = tmp_path / "answers.csv"
    assert ask(model, "--input", str(tmp_path / "asked.csv"), "--output", str(answers), "--top_k", "10") == 0
    options = ["--dataset", str(world.root), "--run", str(tmp_path / "theirs")]
    assert main(["evaluate", "--ranks", str(answers), *options]) == 0
    assert "KB 300" in capsys.readouterr().out


def test_export_says_what_it_wrote(run, tmp_path, capsys):
    (tmp_path / "model").mkdir()
    assert main(["export", str(run), str(tmp_path / "model"), "--verify", "false"]) == 0
    shown = capsys.readouterr().out
    assert "index: exact, 300 vectors of" in shown
    assert re.search(r"written: \S+ \(\d+ MB, 300 entities\)", shown)
    root = world_of(run).image_root.resolve()
    assert shown.endswith(f"python -m dim serve --model {tmp_path / 'model'} --image_root {root}\n")
    (tmp_path / "none").mkdir()
    assert main(["export", str(tmp_path / "none"), str(tmp_path / "other")]) == 1
    assert "a run with its config.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["exact", pytest.param("flat", marks=pytest.mark.long), "ivf", "int4", "hnsw"])
def test_an_index_of_each_kind_reaches_its_recall_and_keeps_the_answers(model, run, tmp_path, capsys, kind):
    folder = shutil.copytree(model, tmp_path / "model")
    options = ["--kind", "ivf", "--storage", "int4"] if kind == "int4" else ["--kind", kind]
    assert main(["index", str(folder), *options]) == 0
    shown = capsys.readouterr().out
    named, storage = ("ivf", " as int4") if kind == "int4" else (kind, " as float16" if kind in ("ivf", "hnsw") else "")
    assert f"index: {named}, 300 vectors of 64{storage}{'' if kind == 'exact' else ','}" in shown
    linker, questions = Linker.from_pretrained(folder, device="cpu"), questions_of(run)
    assert linker.index.kind == named
    recall = 1.0
    if kind != "exact":
        recall = float(re.search(r"recall@10 ([\d.]+)", shown)[1])
        assert recall > 0.9
    before = [answers[0].id for answers in linker_of(run).link_batch(questions)]
    after = [answers[0].id for answers in linker.link_batch(questions)]
    assert sum(a == b for a, b in zip(before, after, strict=True)) >= (recall - 0.05) * len(questions)
    if kind in ("exact", "flat"):
        assert before == after


def test_the_storage_of_an_index_must_go_with_its_kind(model, tmp_path, capsys):
    folder = shutil.copytree(model, tmp_path / "model")
    assert main(["index", str(folder), "--kind", "hnsw", "--storage", "int4"]) == 1
    assert "storage int4 of an index of kind ivf or auto" in capsys.readouterr().err
    assert Linker.from_pretrained(folder, device="cpu").index.kind == "exact"


def test_an_index_is_tuned_on_mentions_of_tune_also_where_it_is_built_anew(model, run, tmp_path, capsys, monkeypatch):
    rows = np.flatnonzero(world_of(run).mentions["split"] == "tune")
    assert Linker.from_pretrained(model, device="cpu").index.recall_queries is None, "they are few"
    monkeypatch.setattr("dim.methods.contrastive.linker.LEAST_ASKED", len(rows))
    linker = Linker.from_checkpoint(run, device="cpu", index="ivf")
    assert linker.index.recall.num_queries == len(rows)
    dense = linker.towers.queries(questions_of(run, "tune"))[:, -64:]
    apart = np.abs(dense[:, None] - linker.index.recall_queries).max(axis=2)
    assert apart.min(axis=0).max() < 1e-3
    assert apart.min(axis=1).max() < 1e-3
    linker.save(tmp_path / "linker")
    assert main(["index", str(tmp_path / "linker"), "--kind", "hnsw"]) == 0
    assert f"over {len(rows)} mentions of tune" in capsys.readouterr().out
    again = Linker.from_pretrained(tmp_path / "linker", device="cpu").index
    np.testing.assert_array_equal(again.recall_queries, linker.index.recall_queries)
    assert again.recall.num_queries == len(rows)
