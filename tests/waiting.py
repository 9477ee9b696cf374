"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

HANG = 300.0  #: Seconds after which a test is said to hang; no test measures by them.


def wait_until(holds: Callable[[], bool], seconds: float = HANG) -> None:
    """Returns as soon as it holds. Raises AssertionError where it never comes."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)
