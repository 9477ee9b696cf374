"""How busy a GPU is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from threading import Event, Thread


def gpu_utilization(action: Callable[[], object]) -> float:  # pragma: needs a GPU
    """The mean share (0 … 1) of time in which the first GPU computed, while `action` ran, as nvidia-smi tells it."""
    samples: list[float] = []
    done = Event()
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]

    def watch() -> None:
        while not done.is_set():
            samples.append(float(subprocess.run(query, capture_output=True, text=True, check=True).stdout) / 100)
            time.sleep(0.1)

    watcher = Thread(target=watch)
    watcher.start()
    try:
        action()
    finally:
        done.set()
        watcher.join()
    return sum(samples) / len(samples)
