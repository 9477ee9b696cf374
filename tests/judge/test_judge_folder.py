"""A judge's folder, of one's own and of a stranger: what it may name, and what it may not."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_text import write_bert

from dim.core.sealed import seal
from dim.errors import CheckpointError, ConfigError, DataError
from dim.judge.cross_encoder import CrossEncoderJudge
from dim.judge.folder import CONTENT, FACTS, FORMAT, open_stage, save_stage
from dim.judge.server import ServerJudge
from dim.judge.stage import JudgeStage
from dim.judge.weights import JudgeWeights
from dim.reranker.shipped import shipped


@pytest.fixture
def ranker():
    return shipped("names")


@pytest.fixture
def stage():
    return JudgeStage(
        ServerJudge("tiny", "http://localhost:1/v1", max_cost=1.0, price_in=1, price_out=1),
        JudgeWeights(0.5, 2.0, -1.0, 9),
        0.7,
        4,
    )


def changed(folder, top_k=4, **judge):
    """The folder with another judge, sealed as its maker would."""
    facts = json.loads((folder / FACTS).read_text())
    facts["judge"], facts["top_k"] = {**facts["judge"], **judge}, top_k
    about = {name: value for name, value in facts.items() if name not in ("content", "format_version", "files", "seal")}
    (folder / FACTS).unlink()
    seal(folder, CONTENT, FORMAT, about, FACTS)
    return folder


def test_a_stage_is_what_it_was_and_names_no_address_price_or_limit(stage, ranker, tmp_path):
    save_stage(stage, ranker, tmp_path / "judge", with_model=True)
    said = (tmp_path / "judge" / FACTS).read_text()
    assert not [word for word in ("localhost", "max_cost", "price_in", "base_url", "concurrency") if word in said]
    opened = open_stage(tmp_path / "judge", ranker)
    assert (opened.weights, opened.threshold, opened.top_k) == (stage.weights, 0.7, 4)
    assert opened.is_muted
    asked = open_stage(tmp_path / "judge", ranker, "http://127.0.0.1:2/v1")
    assert not asked.is_muted
    assert (asked.judge.base_url, asked.judge.model) == ("http://127.0.0.1:2/v1", "tiny")
    assert (asked.judge.timeout_s, asked.judge.retries) == (20, 1)  # somebody waits for the answer
    for mistyped in ("nobody", "http://", "localhost:2/v1"):
        with pytest.raises(ConfigError, match="the URL of a judge's server"):
            open_stage(tmp_path / "judge", ranker, mistyped)
    given = ServerJudge("tiny", "http://127.0.0.1:3/v1")
    assert open_stage(tmp_path / "judge", ranker, given).judge is given
    with pytest.raises(ConfigError, match="the judge whose weights were learned"):
        open_stage(tmp_path / "judge", ranker, ServerJudge("another"))


def test_a_template_of_ones_own_does_not_travel_and_whoever_has_it_gives_the_judge(stage, ranker, tmp_path):
    (tmp_path / "mine.txt").write_text("{{ mention }} {{ none }}")
    stage.judge = ServerJudge("tiny", template=tmp_path / "mine.txt")
    save_stage(stage, ranker, tmp_path / "judge", with_model=True)
    assert "mine.txt" not in (tmp_path / "judge" / FACTS).read_text()
    assert open_stage(tmp_path / "judge", ranker).is_muted
    with pytest.raises(ConfigError, match="the judge whose weights were learned"):
        open_stage(tmp_path / "judge", ranker, "http://127.0.0.1:2/v1")
    assert not open_stage(tmp_path / "judge", ranker, stage.judge).is_muted
    save_stage(open_stage(tmp_path / "judge", ranker), ranker, tmp_path / "again", with_model=True)  # as dim add does
    with pytest.raises(ConfigError, match="the judge whose weights were learned"):
        open_stage(tmp_path / "again", ranker, "http://127.0.0.1:2/v1")
    assert not open_stage(tmp_path / "again", ranker, stage.judge).is_muted


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ({"class_path": "os.system"}, "made of dim's classes"),
        ({"class_path": "CrossEncoderJudge", "init_args": {"path": "/etc"}}, "inside the linker's folder, or an id"),
        ({"class_path": "LocalModelJudge", "init_args": {"path": "/nowhere"}}, "the judge's model at /nowhere"),
        ({"init_args": {"model": "tiny", "template": "/etc/passwd"}}, "names no template"),
        ({"init_args": {"model": "tiny", "nonsense": 1}}, "options that ServerJudge has"),
    ],
)
def test_a_stranger_s_judge_names_no_class_and_no_place_of_this_machine(stage, ranker, tmp_path, judge, message):
    save_stage(stage, ranker, tmp_path / "judge", with_model=True)
    with pytest.raises(DataError, match=message):
        open_stage(changed(tmp_path / "judge", **judge), ranker)


@pytest.mark.parametrize("top_k", [-1, 1, 26])
def test_a_stranger_s_judge_is_shown_no_more_candidates_than_it_has_letters_for(stage, ranker, tmp_path, top_k):
    save_stage(stage, ranker, tmp_path / "judge", with_model=True)
    with pytest.raises(ConfigError, match="top_k between 2 and 25"):
        open_stage(changed(tmp_path / "judge", top_k), ranker, "http://127.0.0.1:2/v1")


def test_a_stranger_s_address_is_not_asked(stage, ranker, tmp_path):
    save_stage(stage, ranker, tmp_path / "judge", with_model=True)
    folder = changed(tmp_path / "judge", init_args={"model": "tiny", "base_url": "http://stranger.example/v1"})
    opened = open_stage(folder, ranker)
    assert (opened.judge.base_url, opened.is_muted) == (None, True)


def test_of_another_ranker_a_run_s_judge_is_left_aside_and_a_linker_s_refused(stage, tmp_path, caplog):
    save_stage(stage, shipped("names"), tmp_path / "judge", with_model=True)
    assert open_stage(tmp_path / "judge", shipped("vectors"), is_ours=True) is None
    assert "was set up with another ranker" in caplog.text
    with pytest.raises(CheckpointError, match="the ranker that the judge"):
        open_stage(tmp_path / "judge", shipped("vectors"))


def test_a_model_that_is_copied_as_safetensors_is_known_by_the_copy(stage, ranker, tmp_path):
    model = write_bert(tmp_path / "model")
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    stage.judge = CrossEncoderJudge(str(model), device="cpu")
    save_stage(stage, ranker, tmp_path / "linker" / "judge", with_model=True)
    assert (tmp_path / "linker" / "judge" / "model" / "model.safetensors").is_file()
    opened = open_stage(tmp_path / "linker" / "judge", ranker, device="cpu")
    save_stage(opened, ranker, tmp_path / "again" / "judge", with_model=True)
    assert opened.fingerprint == opened.judge.fingerprint
    assert open_stage(tmp_path / "again" / "judge", ranker).fingerprint == opened.fingerprint


def test_a_run_s_judge_that_was_named_from_a_folder_is_found_from_another(stage, ranker, tmp_path, monkeypatch):
    home = tmp_path / "home"
    write_bert(home / "run" / "cross_encoder")
    write_bert(home / "model")
    (home / "mine.txt").write_text("{{ mention }} {{ none }}")
    monkeypatch.chdir(home)
    for name, judge in (
        ("inside", CrossEncoderJudge("run/cross_encoder", device="cpu")),
        ("outside", CrossEncoderJudge("model", device="cpu")),
        ("asked", ServerJudge("tiny", template=Path("mine.txt"))),
    ):
        stage.judge = judge
        save_stage(stage, ranker, home / "run" / name, with_model=False)
        monkeypatch.chdir(tmp_path)
        assert open_stage(home / "run" / name, ranker, is_ours=True).judge.fingerprint == judge.fingerprint
        monkeypatch.chdir(home)
    (home / "run").rename(tmp_path / "moved")
    opened = open_stage(tmp_path / "moved" / "inside", ranker, is_ours=True).judge
    assert opened.path == str(tmp_path / "moved" / "cross_encoder")


def test_a_damaged_folder_is_refused(stage, ranker, tmp_path):
    save_stage(stage, ranker, tmp_path / "judge", with_model=True)
    said = (tmp_path / "judge" / FACTS).read_text()
    (tmp_path / "judge" / FACTS).write_text(said.replace('"tiny"', '"huge"'))
    with pytest.raises(DataError, match="its content does not fit its seal"):
        open_stage(tmp_path / "judge", ranker)
