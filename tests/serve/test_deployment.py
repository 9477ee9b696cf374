"""What docs/how_to/deployment.md shows runs: its clients, its unit, and the Containerfile."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from demo_run import demo_run, linker_of
from serving import running
from waiting import HANG

from dim.__main__ import main
from dim.linker import Linker

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how_to/deployment.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@cache
def options() -> set[str]:
    told = StringIO()
    with redirect_stdout(told), pytest.raises(SystemExit):
        main(["serve", "--help"])
    return set(re.findall(r"--\w+", told.getvalue()))


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    return linker_of(demo_run(tmp_path_factory))


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_clients_that_are_shown_get_their_answers(linker: Linker, tmp_path: Path, language: str) -> None:
    command = {"python": sys.executable, "js": shutil.which("node")}[language]
    if command is None:
        pytest.skip("needs node")
    with running(linker, token="TOKEN") as server:
        script = tmp_path / {"python": "client.py", "js": "client.mjs"}[language]
        script.write_text(block(language).replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"))
        done = subprocess.run([command, str(script)], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    expected = linker.link("Velton", "Velton smiled.", top_k=3)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [answer.id for answer in expected]


def test_the_unit_starts_what_there_is() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names of systemd keep their case
    unit.read_string(block("ini"))
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[1:4] == ["-m", "dim", "serve"]
    assert {word for word in words if word.startswith("--")} <= options()
    assert unit["Service"]["KillMode"] == "mixed"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "dim.service"
    file.write_text(block("ini").replace("/opt/dim/bin/python", sys.executable).replace("User=dim", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_the_containerfile_copies_and_starts_what_there_is() -> None:
    lines = (ROOT / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    for line in lines:
        if line.startswith("COPY"):
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line
    (entry,) = (line.removeprefix("ENTRYPOINT ") for line in lines if line.startswith("ENTRYPOINT"))
    words = re.findall(r'"([^"]*)"', entry)
    assert words[:4] == ["python", "-m", "dim", "serve"]
    assert {word for word in words if word.startswith("--")} <= options()


def builder() -> str | None:
    """What builds containers here, with its daemon if it needs one."""
    for name in filter(shutil.which, ("podman", "docker")):
        if subprocess.run([name, "info"], capture_output=True).returncode == 0:
            return name
    return None


@pytest.mark.long
def test_the_container_is_built_and_says_how_it_is_used() -> None:
    if (name := builder()) is None:
        pytest.skip("needs podman, or docker with its daemon")
    built = [name, "build", "-q", "-t", "dim-of-a-test", "-f", "Containerfile", "."]
    subprocess.run(built, cwd=ROOT, check=True, capture_output=True)
    told = subprocess.run([name, "run", "--rm", "dim-of-a-test", "--help"], capture_output=True, text=True)
    assert "usage: dim serve" in told.stdout
    subprocess.run([name, "image", "rm", "dim-of-a-test"], capture_output=True)
