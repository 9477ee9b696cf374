"""A run without weights is of the KB and the features that it was evaluated on: no checkpoint says what they were."""

import shutil
from pathlib import Path

import pytest
from fit_options import fit_options
from tiny_fit import tiny_world
from tiny_text import write_bert

from dim.__main__ import main
from dim.data.dataset import Dataset, write_dataset

FROZEN = ["--model", "FrozenVectors", "--data.text_encoder", "TransformersTextEncoder", "--data.text_encoder.path"]


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    shutil.copytree(tiny_world(tmp_path_factory), tmp_path / "world")
    bert = write_bert(tmp_path / "bert")
    assert main(["fit", *fit_options(tmp_path / "world", tmp_path / "run", *FROZEN, str(bert))]) == 0
    return tmp_path / "run"


def other_encoder(place: Path) -> None:
    shutil.rmtree(place / "bert")
    write_bert(place / "bert", seed=3)


def other_kb(place: Path) -> None:
    world = Dataset(place / "world")
    entities = world.entities.assign(name=[f"{name} II" for name in world.entities["name"]])
    texts = {name: world.text_table(name) for name in world.variants}
    write_dataset(world.root, name=world.name, entities=entities, texts=texts, mentions=world.mentions)


@pytest.mark.parametrize(("changed", "said"), [(other_encoder, "text_encoder"), (other_kb, "kb_hash")])
def test_what_changed_since_is_refused_and_its_figures_stay(
    run: Path, capsys: pytest.CaptureFixture[str], changed: object, said: str
) -> None:
    figures = (run / "metrics.json").read_bytes()
    changed(run.parent)  # type: ignore[operator]
    commands = [["export", str(run), str(run.parent / "linker")], ["rank", "--run", str(run), "--folds", "2"]]
    if said == "text_encoder":  # of another KB the dataset is another, too
        commands += [[name, "--config", str(run / "config.yaml")] for name in ("validate", "test", "predict")]
    for command in commands:
        capsys.readouterr()
        assert main(command) == 1
        assert f"whose {said} was " in capsys.readouterr().err
    assert (run / "metrics.json").read_bytes() == figures
    assert not [name for name in ("ranker", "ranked", "predictions") if (run / name).exists()]


def test_what_stayed_is_used(run: Path) -> None:
    for command in (["validate", "--config", str(run / "config.yaml")], ["rank", "--run", str(run), "--folds", "2"]):
        assert main(command) == 0


def test_other_options_make_another_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, figures = ["--config", str(run / "config.yaml")], (run / "metrics.json").read_bytes()
    for options, said in ((["--data.shuffle", "[text]"], "shuffle"), (["--data.blank", "[context]"], "blank")):
        assert main(["validate", *config, *options]) == 1
        assert f"whose {said} was not set" in capsys.readouterr().err
        assert main(["validate", *config, *options, "--run", str(run.parent / said)]) == 0
    bm25 = run.parent / "bm25"
    assert main(["fit", *fit_options(run.parent / "world", bm25, "--model", "BM25")]) == 0
    before, options = (bm25 / "metrics.json").read_bytes(), ["--config", str(bm25 / "config.yaml"), "--model.k1", "0.1"]
    for command in ("validate", "test", "predict"):
        assert main([command, *options]) == 1
        assert "as it was fitted (k1: " in capsys.readouterr().err
    assert main(["validate", *options, "--run", str(run.parent / "k1")]) == 0
    assert (figures, before) == ((run / "metrics.json").read_bytes(), (bm25 / "metrics.json").read_bytes())
