import subprocess
import sys

from dim.__main__ import main
from dim.cli.commands import COMMANDS
from dim.core.options import nearest


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


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("dim ")


def test_errors_of_the_input_end_with_status_one_and_three_parts(tmp_path, capsys):
    assert main(["prepare", str(tmp_path / "nothing"), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: expected ")
    assert "\nfound " in error
    assert "\nto do " in error
