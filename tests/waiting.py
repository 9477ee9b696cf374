"""Waiting for what another thread or process does."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

HANG = 300.0  #: Seconds after which a test is said to hang; no test measures by them.


@contextmanager
def ending(seconds: int = 8) -> Iterator[None]:
    """Raises AssertionError in what never ends, such as the reading of a pipe that nobody writes into."""

    def end(*_: object) -> None:
        raise AssertionError("it never ended")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def wait_until(holds: Callable[[], bool], seconds: float = HANG) -> None:
    """Returns as soon as it holds. Raises AssertionError where it never comes."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def let_work(process: BaseProcess | subprocess.Popen[Any], done: Callable[[], float], enough: float) -> None:
    """Returns when so much of a process's work is done, or it has ended: a moment to kill it on any machine."""

    def is_over() -> bool:
        return (process.poll() if isinstance(process, subprocess.Popen) else process.exitcode) is not None

    wait_until(lambda: done() >= enough or is_over())
