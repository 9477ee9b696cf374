"""How long something takes, and whether the machine was quiet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from dim.core.provenance import say_where
from dim.display.terminal import Console
from dim.errors import DimError

QUIET = 0.3  #: The load average of the last minute, below which nothing else has the cores.
LOAD_BEFORE = os.getloadavg()[0]  #: When the benchmark began.
_LOOK_S = 2  # between two looks at the load


def seconds(action: Callable[[], object]) -> float:
    """Wall-clock seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def say_measured(*facts: str, load: float | None = None) -> None:
    """Prints the line below measured figures: machine, commit, these facts, and the load before.

    Args:
        facts: More to say.
        load: When measuring began; None: as it was when the benchmark began.
    """
    load = LOAD_BEFORE if load is None else load
    busy = "" if load < QUIET else ": busy, so that ratios in turns say more than seconds"
    say_where(*facts, f"load {load:.2f} before{busy}")


def wait_until_quiet(most: float = QUIET, patience_s: float = 900) -> float:
    """Waits until little else has the cores, and returns the load average of the last minute.

    Args:
        most: The load must be below it.
        patience_s: How long it is waited.

    Raises:
        DimError: It stayed higher.
    """
    end = time.monotonic() + patience_s
    with Console(stderr=True).status("") as shown:
        while (load := os.getloadavg()[0]) >= most:
            if time.monotonic() >= end:
                wanted = f"a quiet machine: a load below {most:g} within {patience_s:.0f} s"
                raise DimError(wanted, f"{load:.1f}", "End what else runs, or allow it: --max_load.")
            shown.update(f"waiting until the machine is quiet: load {load:.2f}, {most:g} wanted")
            time.sleep(min(_LOOK_S, patience_s))
    return load
