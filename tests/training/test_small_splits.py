"""What is too small to be trained on is said before anything is encoded, and what was not evaluated is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fit_options import dim_options

from dim.__main__ import main
from dim.errors import ConfigError
from dim.training.crossfit import caption_folds
from dim.training.saved_run import open_run

ROWS = [("Ada", "E1", "train"), ("Bo", "E2", "train"), ("Cy", "E3", "tune"), ("Di", "E4", "dev"), ("Ed", "E5", "test")]
SMALL = [
    "--data.entity_text",
    "brief",
    "--data.leave_out",
    "[text]",
    "--model.width",
    "32",
    "--trainer.max_epochs",
    "1",
]


def world(place: Path, rows: list[tuple[str, str, str]]) -> Path:
    (place / "mine").mkdir()
    entities = [{"id": f"E{number}", "name": name} for number, name in enumerate(("Ada", "Bo", "Cy", "Di", "Ed"), 1)]
    pd.DataFrame(entities).to_csv(place / "mine/entities.csv", index=False)
    told = [{"mention": each[0], "context": f"{each[0]} ran", "entity_id": each[1], "split": each[2]} for each in rows]
    pd.DataFrame(told).to_csv(place / "mine/mentions.csv", index=False)
    assert main(["prepare", str(place / "mine"), str(place / "world"), "--audit", "false"]) == 0
    return place / "world"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS[3:], "in the split 'train' of mine"),
        ([*ROWS[:1], *ROWS[2:]], "mentions of train with an answer in mine, 2 or more\nfound    1 of 1"),
        ([("Ada", "", "train"), ("Bo", "", "train"), *ROWS[2:]], "2 or more\nfound    0 of 2"),
    ],
)
def test_fit_stops_before_it_encodes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    rows: list[tuple[str, str, str]],
    said: str,
) -> None:
    root = world(tmp_path, rows)
    capsys.readouterr()
    assert main(["fit", *dim_options(root, tmp_path / "run", *SMALL)]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "embedded" not in err
    assert not [each for each in recwarn if "across ranks is zero" in str(each.message)]
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("rows", "said"), [(ROWS[:3], "no dev split and no test: nothing"), (ROWS, None), ([*ROWS[:3], ROWS[4]], "test --")]
)
def test_a_run_without_figures_says_what_would_give_it_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[tuple[str, str, str]], said: str | None
) -> None:
    root = world(tmp_path, rows)
    capsys.readouterr()
    callback = ["--trainer.callbacks", "pytorch_lightning.callbacks.LambdaCallback"]
    assert main(["fit", *dim_options(root, tmp_path / "run", *SMALL, *callback)]) == 0
    shown = capsys.readouterr().out
    assert (said or "next:") in shown
    assert ("no figures" in shown) == (said is not None)
    assert ("dim test --config" in shown) == (said == "test --")
    assert ("config.yaml --trust pytorch_lightning\n" in shown) == (said == "test --")
    task = open_run(tmp_path / "run", "cpu")
    with pytest.raises(ConfigError, match="expected 2 folds, as many as captions of train\nfound    5"):
        caption_folds(task, task.data.dataset.split("train").index.to_numpy(), 5)
    with pytest.raises(ConfigError, match="expected two captions of tune or more, for folds\nfound    1"):
        caption_folds(task, np.flatnonzero(task.data.dataset.mentions["split"] == "tune"), 2)


def test_a_baseline_without_anything_to_evaluate_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, run = world(tmp_path, ROWS[4:]), tmp_path / "run"
    line = ["fit", "--model", "NamesOnly", "--data.root", str(root), "--run", str(run), "--trainer.accelerator", "cpu"]
    assert main(line) == 0
    assert "no figures: the dataset has no dev split; to evaluate on test:" in capsys.readouterr().out
    assert main(["test", "--config", str(run / "config.yaml")]) == 0
