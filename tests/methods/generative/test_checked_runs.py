"""What becomes of a run whose language model is slow, or cannot be used."""

import json

import pytest
from fit_options import gemel_options
from lm_families import write_language_model

from dim.__main__ import main
from dim.demo import demo_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checked") / "world"
    demo_world(folder, num_entities=120, seed=1)
    return folder


def test_a_model_that_cannot_be_used_is_refused_before_anything_is_embedded(world, tmp_path, capsys):
    lm, cache = write_language_model(tmp_path / "lm", "gemma3n_text"), tmp_path / "cache"
    more = ["--model.language_model.path", str(lm), "--data.cache_dir", str(cache)]
    assert main(["fit", *gemel_options(world, tmp_path / "run", *more)]) != 0
    assert "gemma3n_text: it reads the ids of tokens beside their vectors" in capsys.readouterr().err
    assert not [file for file in cache.rglob("*") if file.is_file()]


def test_metrics_and_stderr_say_that_a_model_is_slow(world, tmp_path, capsys):
    lm = write_language_model(tmp_path / "lm", "bart", max_position_embeddings=512)
    more = ["--model.language_model.path", str(lm), "--model.train_mapper", "false", "--model.num_beams", "2"]
    more += ["--model.max_new_tokens", "12"]
    assert main(["fit", *gemel_options(world, tmp_path / "run", *more)]) == 0
    assert capsys.readouterr().err.count("answers exactly, but slowly: prompts go one at a time") == 1
    facts = json.loads((tmp_path / "run" / "metrics.json").read_text())["method"]["language_model"]
    assert facts["verdict"] == "exact but slow"
    assert facts["prompts"] == "one at a time, encoded once"
