"""Weights are used on what they were trained on: what was asked for then and is left out now counts, too."""

from pathlib import Path

import pytest
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main

#: What a run is fitted with, and what takes it back.
ASKED = {
    "shuffle": ("[text]", "[]"),
    "blank": ("[context]", "[]"),
    "leave_out": ("[context]", "[]"),
    "context_reach": ("5", "auto"),
    "feature_dtype": ("float16", "float32"),
    "name_alone": ("true", "false"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory)


@pytest.mark.parametrize("option", ASKED)
def test_weights_do_not_pass_where_what_they_were_trained_with_is_left_out(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    run, (asked, not_asked) = tmp_path / "run", ASKED[option]
    assert main(["fit", *tiny_options(world, run, f"--data.{option}", asked)]) == 0
    figures = (run / "metrics.json").read_bytes()
    assert main(["validate", "--config", str(run / "config.yaml"), f"--data.{option}", not_asked]) == 1
    assert f"a checkpoint whose {option} is " in capsys.readouterr().err
    assert main(["fit", *tiny_options(world, run, "--ckpt_path", "last", "--trainer.max_epochs", "2")]) == 1
    assert f"a checkpoint whose {option} is " in capsys.readouterr().err
    assert (run / "metrics.json").read_bytes() == figures
