"""The files of docs/how_to/extend.md are fitted, exported and asked as the page says."""

import re
import sys
from pathlib import Path

import pytest
from test_docs import ROOT, blocks
from tiny_fit import tiny_world

from dim.__main__ import main
from dim.linker import Linker

FILES = {block.split("\n", 1)[0][2:]: block for block in blocks(ROOT / "docs/how_to/extend.md", "python")}
SMALL = [
    "--trainer.max_epochs",
    "1",
    "--trainer.accelerator",
    "cpu",
    "--trainer.enable_progress_bar",
    "false",
    "--trainer.logger",
    "false",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, which Python looks into; what is imported of them is forgotten afterwards."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def fit(world: Path, run: Path, *more: str) -> int:
    data = ["--data.root", str(world), "--data.cache_dir", str(world.parent / "cache")]
    without = ["--data.image_encoder", "null", "--data.captioner", "null"]
    return main(["fit", "--config", "demo", "--run", str(run), *data, *without, *SMALL, *more])


def test_a_loss_and_an_encoder(world: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loss = ["--model.loss", "my_loss.NearestMargin", "--model.loss.margin", "0.3"]
    encoder = ["--data.text_encoder", "my_encoder.LetterCounts"]
    callback = ["--trainer.callbacks", "pytorch_lightning.callbacks.LambdaCallback"]
    assert fit(world, folder / "run", *loss, *encoder, *callback) == 0
    shown = capsys.readouterr().out  # folds of the ranker are trained as the run; a linker is not trained
    assert f"rank --run {folder / 'run'} --trust my_encoder,my_loss,pytorch_lightning " in shown
    assert "linkers/run --trust my_encoder,my_loss " in shown
    export = ["export", str(folder / "run"), str(folder / "linker"), "--trust", "my_encoder,my_loss"]
    assert main([*export, "--verify", "false"]) == 0
    assert capsys.readouterr().out.count(" --trust my_encoder\n") == 2  # it names no loss
    config = (folder / "run" / "config.yaml").read_text()
    assert re.search(r"NearestMargin\n\s+init_args:\n\s+margin: 0.3", config)
    assert "LetterCounts" in config


@pytest.mark.parametrize("name", ["my_fusion.GatedDIM", "my_method.OneSpace"])
def test_a_method_and_its_linker(world: Path, folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    module = name.partition(".")[0]
    run, linker = folder / "run", folder / "linker"
    assert fit(world, run, "--model", name, "--model.width", "64") == 0
    assert f"dim export {run} linkers/run --trust {module}" in capsys.readouterr().out
    assert main(["export", str(run), str(linker)]) == 1
    assert f"--trust {module}" in capsys.readouterr().err
    assert main(["export", str(run), str(linker), "--trust", module, "--verify", "false"]) == 0
    assert capsys.readouterr().out.count(f" --trust {module}\n") == 2  # how it is asked, and served
    opened = Linker.from_pretrained(linker, trusted=(f"{module}.",))
    entity = next(iter(opened))
    assert entity.name in [answer.name for answer in opened.link(entity.name, f"{entity.name} stayed.", top_k=10)]
