"""Commands of dim as real processes, without the seconds of imports: one process has imported all and forks each."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

FORKING = """
import json, os, pathlib, signal, sys
import dim.cli.caption, dim.cli.compare, dim.cli.evaluate, dim.cli.link, dim.cli.rank, dim.cli.hold_out
import dim.demo, dim.demo.demo_lm, dim.features.embed, dim.cli.trainer, dim.cli.audit, dim.cli.refresh, dim.core.files
from dim.__main__ import main

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

CHANGES = ("open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "tempfile.mkdtemp")
count = 0

def watch(folder, number):  # dies when something in the folder is opened or changed for the number-th time
    def hook(event, args):
        global count
        if event in CHANGES and any(str(arg).startswith(folder) for arg in args[:2]):
            count += 1
            if count == number:
                die()
    sys.addaudithook(hook)

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        for stream in (1, 2):
            os.dup2(os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        os.environ.update(asked["environment"], TOKENIZERS_PARALLELISM="false")
        if asked["dies"]:  # all is written, and nothing has its name
            pathlib.Path.replace = dim.core.files._exchange = die
        if asked["folder"]:
            watch(asked["folder"], asked["number"])
        code = main(asked["args"])
        sys.stdout.flush()
        if asked["folder"]:
            pathlib.Path(asked["log"] + ".events").write_text(str(count))
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@cache
def _forking(preload: str) -> "subprocess.Popen[str]":
    environment = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]), "LD_PRELOAD": preload}
    return subprocess.Popen(
        [sys.executable, "-c", FORKING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


@contextmanager
def command(
    args: Sequence[str],
    log: Path,
    dies: bool = False,
    watched: tuple[Path, int] | None = None,
    environment: Mapping[str, str] | None = None,
    preload: str = "",
) -> Iterator[tuple[int, Callable[[], int]]]:
    """A command that runs, the leader of a group of processes: its process id, and what waits for its exit code.

    Args:
        args: Its command line.
        log: Where what it says goes.
        dies: Whether it is killed at the first moment at which something that it wrote would get its name.
        watched: A folder, and a number: it is killed when something in there is opened, made, renamed or removed for
            so many times (0: never). `<log>.events` tells how often that happened to a command that ends.
        environment: Variables of its own.
        preload: A library that is loaded first.
    """
    forking = _forking(preload)
    folder, number = watched or ("", 0)
    asked: dict[str, Any] = {"args": list(args), "log": str(log), "dies": dies, "number": number}
    asked |= {"folder": str(folder), "environment": dict(environment or {})}
    assert forking.stdin is not None
    assert forking.stdout is not None
    forking.stdin.write(json.dumps(asked) + "\n")
    forking.stdin.flush()
    pid = int(forking.stdout.readline())
    codes: list[int] = []

    def wait() -> int:
        if not codes:
            assert forking.stdout is not None
            codes.append(int(forking.stdout.readline()))
        return codes[0]

    try:
        yield pid, wait
    finally:
        if not codes:
            os.kill(pid, signal.SIGKILL)
            wait()


def killed(args: Sequence[str], log: Path) -> None:
    """Runs a command that is killed when all is written and nothing has its name yet."""
    with command(args, log, dies=True) as (_, wait):
        assert wait() == -signal.SIGKILL, log.read_text()


def ended(args: Sequence[str], log: Path, **options: Any) -> int:
    """The exit code of a command; options as of `command`."""
    with command(args, log, **options) as (_, wait):
        return wait()


def num_events(args: Sequence[str], log: Path, folder: Path, **options: Any) -> int:
    """How often a command opens or changes something in a folder; it must end well. Options as of `command`."""
    assert ended(args, log, watched=(folder, 0), **options) == 0, log.read_text()
    return int(Path(f"{log}.events").read_text())
