"""Commands of dim as real processes, without the seconds of imports: one process has imported all and forks each."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

FORKING = """
import json, os, pathlib, signal, sys
import dim.caption, dim.compare, dim.data.demo, dim.embed, dim.evaluate, dim.generative.demo_lm, dim.link, dim.rank
import dim.cli, dim.audit, dim.storage
from dim.__main__ import main

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        for stream in (1, 2):
            os.dup2(os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        if asked["dies"]:  # all is written, and nothing has its name
            pathlib.Path.replace = dim.storage._exchange = die
        code = main(asked["args"])
        sys.stdout.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@cache
def _forking() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", FORKING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )


@contextmanager
def command(args: Sequence[str], log: Path, dies: bool = False) -> Iterator[tuple[int, Callable[[], int]]]:
    """A command that runs, the leader of a group of processes: its process id, and what waits for its exit code.

    Args:
        args: Its command line.
        log: Where what it says goes.
        dies: Whether it is killed at the first moment at which something that it wrote would get its name.
    """
    forking = _forking()
    asked: dict[str, Any] = {"args": list(args), "log": str(log), "dies": dies}
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
