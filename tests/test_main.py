import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from demo_run import demo_run, world_of

from dim.__main__ import main
from dim.cli.commands import COMMANDS
from dim.core.choices import nearest

OTHERS = {"dim", "numpy", "PIL", "torch", "transformers", "yaml"}


def test_help_lists_every_command_without_torch():
    code = "import sys; from dim.__main__ import main; main(['--help']); print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.rstrip().endswith("False")
    for name in [*COMMANDS, "fit", "validate", "test", "predict"]:
        assert f"\n  {name} " in shown


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["prepar"]) == 1
    assert "Did you mean: dim prepare?" in capsys.readouterr().err
    assert nearest("sho", list(COMMANDS)) == "show"


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_list_of_words_stands_before_between_or_behind_options(tmp_path, capsys, at):
    runs = [str(tmp_path / name) for name in "ab"]
    assert main(["report", *runs[:at], "--split", "test", *runs[at:], "--published=false"]) == 1
    err = capsys.readouterr().err
    assert all(run in err for run in runs)
    assert "a list" not in err


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("dim ")


def test_a_command_that_ends_looks_for_no_garbage_and_calls_what_waits_for_its_end():
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); from dim.__main__ import main"
    shown = subprocess.run([sys.executable, "-c", f"{code}; main(['--version'])"], capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == "True", shown.stderr


def test_errors_of_the_input_end_with_status_one_and_three_parts(tmp_path, capsys):
    assert main(["prepare", str(tmp_path / "nothing"), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: expected ")
    assert "\nfound " in error
    assert "\nto do " in error


def test_a_folder_called_dim_such_as_the_clone_itself_is_not_taken_for_the_package(tmp_path):
    (tmp_path / "dim").mkdir()
    for line in (["-m", "dim", "--version"], ["-c", "from dim import Mention"]):
        done = subprocess.run([sys.executable, *line], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_no_module_of_the_folder_that_it_is_called_in_is_imported(tmp_path_factory, tmp_path):
    run = demo_run(tmp_path_factory)
    for name in {*sys.stdlib_module_names, *OTHERS}:
        (tmp_path / f"{name}.py").write_text("open(__file__ + '-imported', 'w')\n")
    image = next(world_of(run).image_root.rglob("*.png"))
    (tmp_path / "asked.jsonl").write_text(json.dumps({"mention": "Velton", "image": str(image)}) + "\n")
    asking = ["link", "--model", str(run), "--input", "asked.jsonl", "--output", "answers.jsonl"]
    places = os.pathsep.join(str(Path(place).absolute()) for place in sys.path)
    for arguments in (["export", str(run), "linker"], asking):  # they start processes: one that opens, one that decodes
        code = f"from dim.__main__ import main; raise SystemExit(main({arguments}))"
        command = [sys.executable, "-P", "-c", code]  # as the command `dim`, which stands in a folder of its own
        environment = {**os.environ, "PYTHONPATH": places}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert list(tmp_path.glob("*-imported")) == []
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "answers.jsonl").read_text())["answers"]
