"""The tiny encoders, slow enough to be killed at work. They write down which process is at work."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dim.encoders.base import Features
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder


class SlowTextEncoder(TinyTextEncoder):
    def __init__(self, pids: Path, seconds: float = 0.1) -> None:
        super().__init__(64)
        self.pids, self.seconds = Path(pids), seconds

    def encode_text(self, texts: Sequence[str]) -> Features:
        work(self.pids, self.seconds)
        return super().encode_text(texts)


class SlowImageEncoder(TinyImageEncoder):
    def __init__(self, pids: Path, seconds: float = 0.1) -> None:
        super().__init__()
        self.pids, self.seconds = Path(pids), seconds

    def encode_image(self, pixels: Any) -> Features:
        work(self.pids, self.seconds)
        return super().encode_image(pixels)


def work(pids: Path, seconds: float) -> None:
    with pids.open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
