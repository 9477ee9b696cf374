"""How many cores there are to compute on."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """The cores that this process may use; on macOS, which does not tell, those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
