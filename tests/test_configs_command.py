"""The configs that dim ships work by their names, anywhere, and can be listed and copied."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import torch
from waiting import HANG

from dim.__main__ import main
from dim.cli.compare import find_configs
from dim.cli.configs import about, config_file, shipped, with_config_files
from dim.errors import ConfigError

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that has nothing of the repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_config_of_the_repository_is_shipped_by_its_name() -> None:
    folder = ROOT / "lightning_configs"
    names = {file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml")}
    assert set(shipped()) == names >= {"demo_plus", "baselines/bm25", "ablations/no_image"}


def test_the_list_says_what_each_one_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs"]) == main(["configs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in shipped():
        (said,) = {line for line in lines if line.split(" ")[0] == name}
        assert len(said.removeprefix(name).strip()) > 20
    assert any(line.startswith("ablations/no_image") and line.endswith("of mentions or entities.") for line in lines)
    assert all(about(file).endswith(".") for file in shipped().values())


def test_a_copy_can_be_changed_and_replaces_nothing(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "copy", "baselines/bm25", "mine"]) == 0
    copy = elsewhere / "mine" / "bm25.yaml"
    assert copy.read_bytes() == (ROOT / "lightning_configs" / "baselines" / "bm25.yaml").read_bytes()
    assert "dim fit --config mine/bm25.yaml" in capsys.readouterr().out
    copy.write_text("changed")
    assert main(["configs", "copy", "baselines/bm25", "mine"]) == 1
    assert "expected a new file mine/bm25.yaml\nfound    one that is there" in capsys.readouterr().err
    assert copy.read_text() == "changed"
    (elsewhere / "file").touch()
    assert main(["configs", "copy", "demo", "file"]) == 1
    assert main(["configs", "copy", "demo_pls", "mine"]) == 1
    assert "Did you mean demo_plus?" in capsys.readouterr().err
    assert [path.name for path in (elsewhere / "mine").iterdir()] == ["bm25.yaml"]


def test_a_bare_name_is_the_shipped_config_and_a_path_the_file(elsewhere: Path) -> None:
    assert config_file("demo") == shipped()["demo"]
    for name in ("demo", "demo.yaml", "own.yaml"):
        (elsewhere / name).touch()
    (elsewhere / "baselines").mkdir()
    assert config_file("demo") == shipped()["demo"]
    assert config_file("baselines/bm25") == shipped()["baselines/bm25"]
    for file in ("./demo", "demo.yaml", "own.yaml", str(elsewhere / "demo")):
        assert config_file(file) == Path(file)


@pytest.mark.parametrize("name", ["demo_pluss", "lightning_configs/demo_plus.yaml", "demo_plus.yml"])
def test_what_is_neither_names_the_config_that_was_meant(
    name: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", name]) == 1
    said = capsys.readouterr().err
    assert f"none at {name}" in said
    assert "Did you mean --config demo_plus? dim configs lists the names." in said


def test_only_the_configs_of_a_command_line_are_looked_up() -> None:
    line = ["fit", "--run", "demo", "--config=demo", "--config", "ablations/no_image", "--data.root", "demo"]
    files = [str(shipped()[name]) for name in ("demo", "ablations/no_image")]
    assert with_config_files(line) == [*line[:3], f"--config={files[0]}", "--config", files[1], *line[6:]]
    assert with_config_files(["fit", "--config"]) == ["fit", "--config"]


def test_compare_takes_names_files_and_both(elsewhere: Path) -> None:
    assert find_configs("demo+no_image+sum") == ("demo", "ablations/no_image", "ablations/sum")
    assert find_configs("baselines/bm25") == ("baselines/bm25",)
    assert main(["configs", "copy", "demo", "mine"]) == 0
    assert find_configs("mine/demo.yaml+no_image") == ("mine/demo.yaml", "ablations/no_image")
    own = elsewhere / "mine" / "ablations" / "no_image.yaml"
    own.parent.mkdir()
    own.touch()
    assert find_configs("mine/demo.yaml+no_image") == ("mine/demo.yaml", "mine/ablations/no_image.yaml")
    assert find_configs("demo+no_image") == ("demo", "ablations/no_image")
    with pytest.raises(ConfigError, match=r"a config no_picture(.|\n)*blank_images, no_caption"):
        find_configs("demo+no_picture")
    with pytest.raises(ConfigError, match="Did you mean --config demo_plus"):
        find_configs("demo_pluss")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dim's wheel, from the files of this tree by the setuptools that stands here."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "dim", "lightning_configs"):
        (tree / name).symlink_to(ROOT / name)
    code = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tree)], cwd=tree, capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stderr
    return tree / done.stdout.splitlines()[-1]


@pytest.mark.long
def test_an_installed_dim_fits_a_shipped_config_far_from_the_repository(wheel: Path, elsewhere: Path) -> None:
    venv.create(elsewhere / "venv")
    (packages,) = (elsewhere / "venv").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as file:
        assert {f"dim/lightning_configs/{name}.yaml" for name in shipped()} <= set(file.namelist())
        file.extractall(packages)
    # What dim needs is there already: the packages of this environment, behind the new one's own.
    (packages / "shared.pth").write_text(str(Path(torch.__file__).parent.parent))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def dim(*arguments: str) -> str:
        done = subprocess.run(
            [elsewhere / "venv" / "bin" / "python", "-m", "dim", *arguments],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            timeout=HANG,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    dim("demo-world", "demo/world", "--num_entities", "300")
    said = dim("fit", "--config", "demo_plus", "--config", "ablations/no_image", "--trainer.max_epochs", "1")
    assert "demo" in said
    run = elsewhere / "runs" / "demo_plus"
    assert (run / "metrics.json").exists()
    assert "leave_out" in (run / "config.yaml").read_text()
