"""What a tired person types, and what it is answered."""

import re
import sys

import pytest

from dim.__main__ import main

CONFIG = "lightning_configs/demo.yaml"
FIT = f"fit --config {CONFIG}"


@pytest.mark.parametrize(
    ("line", "expected", "found", "remedy"),
    [
        ("fit", "a configuration that says run, data.root and model", "none", "--config NAME"),
        (f"fit {CONFIG}", "options by name", CONFIG, f"Did you mean: dim fit --config {CONFIG}?"),
        ("fit --config lightning_configs/demo.yml", "a file", "no such file", "lightning_configs/demo.yaml?"),
        ("fit --config lightning_configs", "a file", "a folder", "demo.yaml, demo_plus.yaml"),
        ("fit --config README.md", "YAML in README.md", "cannot start any token in line 3", "Repair"),
        ("fit --trainer.epochs 3", "an option that exists", "trainer.epochs", "--trainer.max_epochs?"),
        (f"{FIT} --lr 0.1", "an option that exists", "'lr'", "Did you mean --model.learning_rate?"),
        (f"{FIT} --epochs 3", "an option that exists", "'epochs'", "--trainer.max_epochs?"),
        (f"{FIT} --batch_size 3", "an option that exists", "'batch_size'", "--data.batch_size?"),
        (f"{FIT} --data.batch_sise=3", "an option that exists", "'data.batch_sise'", "--data.batch_size?"),
        (f"{FIT} --model.widht 3", "an option that exists", "'model.widht'", "Did you mean width?"),
        (f"{FIT} --data.root", "--data.root as dim fit takes it", "one argument", "dim fit --help"),
        (f"{FIT} --trainer.max_epochs ten", "--trainer.max_epochs as a whole number or null", "ten", "Change"),
        (f"{FIT} --model.width big", "--model.width as a whole number", "big", "Change"),
        (f"{FIT} --model.fusion atention", "--model.fusion as attention or sum or linear", "atention", "Change"),
        (f"{FIT} --model.negatives.per_row x", "--model.negatives.per_row as a whole number", "x", "Change"),
        (f"{FIT} --model DIMM", "--model: a class (BM25, DIM", "DIMM", "Did you mean DIM?"),
        (f"{FIT} --data.protocol Cand", "a class (Candidates, FullKB", "Cand", "Did you mean Candidates?"),
        (f"{FIT} --data.text_encoder Bert", "a class (", "Bert", "Name one of them"),
        ("judge runs/a --judge.path b", "--judge, which has the option path", "no class of it", "CrossEncoderJudge"),
        (f"{FIT} --data.leave_out mension", "--data.leave_out as a list", "mension", "Change"),
        (f"{FIT} --data.root demo/none", "a dataset folder", "nothing there", "dim demo-world demo/none"),
        (f"{FIT} --data.root data/none", "a dataset folder", "nothing there", "--data.root FOLDER"),
        ("test --run runs/none", "a configuration", "none", "--config RUN/config.yaml"),
        ("train", "a command", "'train'", "Did you mean: dim fit?"),
        ("prepar", "a command", "'prepar'", "Did you mean: dim prepare?"),
        ("prepare", "dim prepare ROOT OUT", "no ROOT and OUT", "dim prepare --help"),
        ("prepare a", "dim prepare ROOT OUT", "no OUT", "dim prepare --help"),
        ("prepare a b c", "dim prepare ROOT OUT", "one word more: c", "Leave it out"),
        ("prepare a b --layot dim", "an option that exists", "layot", "Did you mean --layout?"),
        ("prepare a b --layout nope", "--layout as one of auto, diverse", "nope", "Choose one of them."),
        ("prepare a b --layout wikidiv", "--layout as one of auto, diverse", "wikidiv", "Did you mean wikidiverse?"),
        ("rank runs/demo", "options by name", "the word runs/demo", "Did you mean: dim rank --run runs/demo?"),
        ("link", "dim link --model", "no --model", "dim link --help"),
        ("evaluate", "dim evaluate --ranks … --dataset … --run …", "no --ranks, --dataset and --run", "--help"),
        ("caption x --captioner Tiny", "--captioner: a class (", "Tiny", "Did you mean TinyCaptioner?"),
        ("bench", "dim bench and one of embed", "nothing", "Such as"),
        ("bench foo", "dim bench and one of embed", "the word foo", "Such as: dim bench embed."),
        ("configs foo", "dim configs and one of list, copy", "the word foo", "Such as: dim configs list."),
    ],
)
def test_a_wrong_line_is_answered_by_what_was_meant(capsys, tmp_path, line, expected, found, remedy):
    words = line.split()
    if words[0] == "fit" and "--config" in words:
        words += ["--run", str(tmp_path / "run")]
    assert main(words) == 1
    error = re.fullmatch(r"error: expected (.*)\nfound    (.*)\nto do    (.*)\n", capsys.readouterr().err)
    assert error, "not three lines"
    assert expected in error[1]
    assert found in error[2]
    assert remedy in error[3]


@pytest.mark.parametrize(
    ("text", "found", "remedy"),
    [
        ("data: {root: a, batch_sise: 3}\nmodel: DIM\n", "'data.batch_sise'", "--data.batch_size?"),
        (
            "data: {root: a}\nmodel: {class_path: DIM, init_args: {widht: 3}}\n",
            "'model.init_args.widht'",
            "Did you mean width?",
        ),
        ("data: {root: a}\nmodel: DIM\nmodle: 3\n", "'modle'", "Did you mean --model?"),
        ("data: {root: a, batch_size: many}\nmodel: DIM\n", "many", "Change"),
        ("data: {root: a}\nmodel: {class_path: DIMM}\n", "DIMM", "Did you mean DIM?"),
        ("- a\n- b\n", "list", "Name a configuration"),
        ("data: {root: a\n", "line 2", "Repair"),
    ],
)
def test_a_wrong_file_is_answered_by_what_was_meant(capsys, tmp_path, text, found, remedy):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert main(["fit", "--config", str(path), "--run", str(tmp_path / "run")]) == 1
    error = re.fullmatch(r"error: expected (.*)\nfound    (.*)\nto do    (.*)\n", capsys.readouterr().err)
    assert error, "not three lines"
    assert found in error[2]
    assert remedy in error[3]


@pytest.mark.parametrize(
    ("written", "named", "found", "remedy"),
    [
        ("import notthere", "mine.Mine", "mine.Mine: No module named 'notthere'", "PYTHONPATH"),
        ("class Mine(:", "mine.Mine", "mine.Mine: invalid syntax", "PYTHONPATH"),
        ("class Mine: pass", "mine.Mine", "mine.Mine, which is no LinkingTask", "Derive it from LinkingTask"),
        ("class Mine: pass", "mine.Other", "module 'mine' has no attribute 'Other'", "PYTHONPATH"),
        ("class Mine: pass", "mien.Mine", "mien.Mine: No module named 'mien'", "PYTHONPATH"),
        (
            "from dim.training.task import LinkingTask\nclass Mine(LinkingTask):\n    def build(self, data): pass",
            "mine.Mine",
            "Mine without loss_of, scores_of",
            "extend.md",
        ),
    ],
)
def test_a_method_of_ones_own_that_is_none_is_told_why(capsys, tmp_path, monkeypatch, written, named, found, remedy):
    (tmp_path / "mine.py").write_text(f"{written}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    line = ["fit", "--run", str(tmp_path / "run"), "--data.root", str(tmp_path), "--model", named]
    try:
        assert main(line) == 1
    finally:
        sys.modules.pop("mine", None)
    error = re.fullmatch(r"error: expected (.*)\nfound    (.*)\nto do    (.*)\n", capsys.readouterr().err)
    assert error, "not three lines"
    assert found in error[2]
    assert remedy in error[3]


def test_an_encoder_of_ones_own_that_lacks_something_is_told_what(capsys, tmp_path, monkeypatch):
    (tmp_path / "half.py").write_text("from dim.encoders.base import TextEncoder\nclass Half(TextEncoder): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert main([*FIT.split(), "--run", str(tmp_path / "run"), "--data.text_encoder", "half.Half"]) == 1
    finally:
        sys.modules.pop("half", None)
    error = capsys.readouterr().err
    assert "--data.text_encoder: a class that can be used" in error
    assert "half.Half without encode_text, fingerprint, width" in error


def test_a_librarys_class_is_told_why_too_also_of_a_list(capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("trainer: {callbacks: [{class_path: no_such_module.Mine}]}\n")
    line = [*FIT.split(), "--run", str(tmp_path / "run")]
    assert main([*line, "--config", str(tmp_path / "mine.yaml")]) == 1
    assert "no_such_module.Mine: No module named 'no_such_module'" in capsys.readouterr().err
    assert main([*line, "--trainer.logger", "collections.OrderedDict"]) == 1
    assert "collections.OrderedDict, which is no Logger" in capsys.readouterr().err
